"""PNG files built chunk by chunk, as no encoder would write them."""

import struct
import zlib
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY: Final = 0
RGB: Final = 2
PALETTE: Final = 3
RGBA: Final = 6
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, RGBA: 4}
ADAM7 = (  # its seven passes: x, y and the steps along each
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def header(size: tuple[int, int], depth: int = 8, colour: int = RGB, interlace: int = 0) -> bytes:
    """The chunk that a PNG begins with."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace))


def png(start: bytes, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of these filtered rows, with ``extra`` chunks before them."""
    return joined(start, *extra, chunk(b"IDAT", zlib.compress(rows)))


def joined(*chunks: bytes) -> bytes:
    """A PNG of these chunks and an end."""
    return b"".join([SIGNATURE, *chunks, chunk(b"IEND")])


def blank(size: tuple[int, int], *extra: bytes, depth: int = 8, colour: int = RGB) -> bytes:
    """A sound PNG of zeros."""
    width, height = size
    row = 1 + (width * depth * SAMPLES[colour] + 7) // 8
    return png(header(size, depth, colour), bytes(height * row), *extra)


def interlaced(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of RGB ``pixels`` [height, width, 3], in the seven passes of Adam7."""
    height, width, _ = pixels.shape
    passes = (pixels[y::down, x::right] for x, y, right, down in ADAM7)
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    return png(header((width, height), interlace=1), rows)


@cache
def compressed_zeros(megabytes: int) -> bytes:
    """So many megabytes of zeros, a thousandth of it long."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(megabytes)), packer.flush()])
