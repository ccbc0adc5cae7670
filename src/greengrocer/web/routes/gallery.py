"""``GET /random-image``: an image to try, streamed byte for byte from its file."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

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


async def random_image(service: Service, request: Request) -> StreamingResponse:
    """A random JPEG; ``X-Class`` is its true class, percent-encoded beyond ASCII.

    Raises NotReady where the file was removed after the start.
    """
    del request
    shown = service.gallery.choose()
    try:
        file, size = await asyncio.to_thread(_open, shown.path)
    except OSError as error:
        raise NotReady("the image file is no longer in the data set: try again") from error
    headers = {
        "X-Class": header_text(shown.true_class),
        "Content-Length": str(size),
        "Cache-Control": "no-store",
    }
    if service.gallery.built_in:
        headers["X-Gallery"] = "built-in"
    return StreamingResponse(_blocks(file, size), headers=headers, media_type="image/jpeg")


def _open(path: Path) -> tuple[BinaryIO, int]:
    file = open_regular(path)
    return file, file.seek(0, 2)


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
