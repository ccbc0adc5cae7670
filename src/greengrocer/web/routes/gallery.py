"""``GET /random-image``: an image to try, streamed byte for byte as it lies on disk."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from starlette.responses import StreamingResponse

from greengrocer.datasets.gallery import Gallery
from greengrocer.errors import NotReady
from greengrocer.regular_files import open_regular
from greengrocer.web.headers import header_text

BLOCK = 1 << 16  # bytes


async def random_image(gallery: Gallery) -> StreamingResponse:
    """A random JPEG; ``X-Class`` is its true class, percent-encoded beyond ASCII.

    Raises NotReady where the image has vanished from the disk since the start.
    """
    shown = gallery.choose()
    try:
        file, size = await asyncio.to_thread(_open, shown.path)
    except OSError as error:
        raise NotReady("the image has gone from the data set's directory: try again") from error
    headers = {
        "X-Class": header_text(shown.true_class),
        "Content-Length": str(size),
        "Cache-Control": "no-store",
    }
    if gallery.built_in:
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
                raise OSError("the image has shrunk while it was sent")
            size -= len(block)
            yield block
