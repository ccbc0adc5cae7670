"""``GET /random-image``: an image to try, streamed byte for byte from its file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import structlog
from starlette.requests import Request
from starlette.responses import StreamingResponse

from greengrocer.errors import NotReady
from greengrocer.regular_files import open_regular
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.headers import header_text
from greengrocer.web.openapi import image
from greengrocer.web.problems import described
from greengrocer.web.service import Service

BLOCK = 1 << 16  # bytes
TRIES = 10  # files of which one can be sent
JPEG = b"\xff\xd8\xff"  # its first bytes

log = structlog.get_logger("greengrocer.gallery")


async def random_image(service: Service, request: Request) -> StreamingResponse:
    """A random JPEG; ``X-Class`` is its true class, percent-encoded beyond ASCII.

    A file that is no JPEG by its first bytes, or too large to be classified, is never sent: the
    folder may hold links to anything. Raises NotReady where none of some files can be sent, as
    where they were removed after the start.
    """
    del request
    for _ in range(TRIES):
        shown = service.gallery.choose()
        found = await asyncio.to_thread(_open, shown.path, service.upload_limits.image_bytes)
        if found is not None:
            break
    else:
        raise NotReady("the data set lacks the image that was to be sent: try again")
    file, size = found
    headers = {
        "X-Class": header_text(shown.true_class),
        "Content-Length": str(size),
        "Cache-Control": "no-store",
    }
    if service.gallery.built_in:
        headers["X-Gallery"] = "built-in"
    return StreamingResponse(_blocks(file, size), headers=headers, media_type="image/jpeg")


def _open(path: Path, most: int) -> tuple[BinaryIO, int] | None:
    """The file and its size; None, and a line in the log, where it is not to be sent."""
    try:
        file = open_regular(path)
        if file.read(len(JPEG)) == JPEG and (size := file.seek(0, 2)) <= most:
            return file, size
        file.close()
        reason = f"not a JPEG of at most {most:,} bytes"
    except OSError as error:
        reason = error.strerror or str(error)
    log.warning("image not shown", path=str(path), reason=reason)
    return None


async def _blocks(file: BinaryIO, size: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while size > 0:
            block = await asyncio.to_thread(file.read, min(BLOCK, size))
            if not block:
                raise OSError("the image file became shorter while it was sent")
            size -= len(block)
            yield block


RANDOM_IMAGE = Endpoint(
    "GET",
    "/random-image",
    random_image,
    "Fetch a random image to try",
    responses={
        **image(
            "image/jpeg",
            "A JPEG",
            {"X-Class": "its true class", "X-Gallery": "built-in, where there is no data set"},
        ),
        **described(500, 503),
    },
)
