"""PNG files built chunk by chunk, also as no encoder would write them."""

import struct
import zlib
from typing import Final

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY: Final = 0
RGB: Final = 2
PALETTE: Final = 3
GREY_ALPHA: Final = 4
RGBA: Final = 6


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """A chunk with its length and checksum."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def header(size: tuple[int, int], depth: int, colour: int) -> bytes:
    """The chunk that a PNG begins with."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0))


def png(size: tuple[int, int], depth: int, colour: int, rows: list[bytes], *extra: bytes) -> bytes:
    """A PNG of these unfiltered rows, with ``extra`` chunks before its pixels."""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"".join(
        [SIGNATURE, header(size, depth, colour), *extra, chunk(b"IDAT", pixels), chunk(b"IEND")]
    )
