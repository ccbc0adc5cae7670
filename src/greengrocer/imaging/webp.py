"""WebP: size, and the chunks that are needed: the image or first frame, and its orientation."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import MAX_EXIF, UPRIGHT, read_orientation
from greengrocer.imaging.stripped import Stripped

MAX_CHUNKS = 20_000  # reading their headers takes 20 ms; later chunks are ignored

_HEADER = 12  # bytes
_ALPHA, _ANIMATED = 0x10, 0x02  # flags of an extended file
_IMAGES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_WITH_IMAGE = frozenset({b"ALPH", b"ANIM"})  # needed before the image


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int  # after its padding


def read_size(data: bytes | memoryview) -> tuple[int, int]:
    """Width and height of the canvas in pixels.

    Raises UnreadableImage, and struct.error where the file ends before.
    """
    chunk = data[12:16]
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        low, high, low_down, high_down = struct.unpack_from("<HBHB", data, 24)
        return (high << 16 | low) + 1, (high_down << 16 | low_down) + 1
    raise UnreadableImage("the WebP does not begin with a VP8, VP8L or VP8X chunk")


def strip(data: bytes | memoryview) -> Stripped:
    """The parts that the decoder needs of a WebP that ``read_header`` accepted.

    Raises UnreadableImage if the file is shorter than its header says, or has no image.
    """
    claimed = 8 + int.from_bytes(data[4:8], "little")
    if claimed > len(data):
        raise UnreadableImage("the WebP is truncated or damaged")
    view = memoryview(data)[:claimed]
    parts: list[bytes | memoryview] = []
    orientation = 0
    seen: set[bytes] = set()
    image = False
    for chunk in _chunks(view):
        if chunk.kind == b"VP8X" and not parts:
            flags = data[chunk.start + 8] & (_ALPHA | _ANIMATED)
            parts += [
                view[chunk.start : chunk.start + 8],
                bytes([flags]),
                view[chunk.start + 9 : chunk.end],
            ]
        elif chunk.kind in _IMAGES or chunk.kind in _WITH_IMAGE:
            if not image and chunk.kind not in seen:
                seen.add(chunk.kind)
                parts.append(view[chunk.start : chunk.end])
                image = chunk.kind in _IMAGES
        elif chunk.kind == b"EXIF" and not orientation:
            orientation = read_orientation(view[chunk.start + 8 : chunk.end][:MAX_EXIF])
    if not image:
        raise UnreadableImage("the WebP has no image data")
    length = 4 + sum(map(len, parts))
    start = b"RIFF" + length.to_bytes(4, "little") + b"WEBP"
    return Stripped([start, *parts], orientation or UPRIGHT)


def _chunks(view: memoryview) -> Iterator[_Chunk]:
    """The chunks that are complete."""
    start = _HEADER
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(view[start + 4 : start + 8], "little")
        end = start + 8 + length + length % 2
        if start + 8 > len(view) or end > len(view):
            return
        yield _Chunk(bytes(view[start : start + 4]), start, end)
        start = end
