"""What of a WebP is needed: its image or, of an animation, the first frame, and its orientation."""

from collections.abc import Iterator
from typing import NamedTuple

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import UPRIGHT, read_orientation
from greengrocer.imaging.shown import MAX_EXIF, Shown

MAX_CHUNKS = 20_000  # to look through them takes 20 ms; what comes behind them is not looked at

_HEADER = 12  # bytes
_ALPHA, _ANIMATED = 0x10, 0x02  # flags of an extended file
_IMAGES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})
_WITH_IMAGE = frozenset({b"ALPH", b"ANIM"})  # what is needed before it


class _Chunk(NamedTuple):
    kind: bytes
    start: int
    end: int  # behind its padding


def shown(data: bytes) -> Shown:
    """What the decoder is to see of a WebP that ``read_header`` has taken.

    Raises UnreadableImage where the file is shorter than it says, or holds no image.
    """
    claimed = 8 + int.from_bytes(data[4:8], "little")
    if claimed > len(data):
        raise UnreadableImage("the WebP is truncated or damaged")
    view = memoryview(data)[:claimed]
    pieces: list[bytes | memoryview] = []
    orientation = 0
    seen: set[bytes] = set()
    image = False
    for chunk in _chunks(view):
        if chunk.kind == b"VP8X" and not pieces:
            flags = data[chunk.start + 8] & (_ALPHA | _ANIMATED)
            pieces += [
                view[chunk.start : chunk.start + 8],
                bytes([flags]),
                view[chunk.start + 9 : chunk.end],
            ]
        elif chunk.kind in _IMAGES or chunk.kind in _WITH_IMAGE:
            if not image and chunk.kind not in seen:
                seen.add(chunk.kind)
                pieces.append(view[chunk.start : chunk.end])
                image = chunk.kind in _IMAGES
        elif chunk.kind == b"EXIF" and not orientation:
            orientation = read_orientation(view[chunk.start + 8 : chunk.end][:MAX_EXIF])
    if not image:
        raise UnreadableImage("the WebP has no image data")
    length = 4 + sum(map(len, pieces))
    start = b"RIFF" + length.to_bytes(4, "little") + b"WEBP"
    return Shown([start, *pieces], orientation or UPRIGHT)


def _chunks(view: memoryview) -> Iterator[_Chunk]:
    """Those that are whole."""
    start = _HEADER
    for _ in range(MAX_CHUNKS):
        length = int.from_bytes(view[start + 4 : start + 8], "little")
        end = start + 8 + length + length % 2
        if start + 8 > len(view) or end > len(view):
            return
        yield _Chunk(bytes(view[start : start + 4]), start, end)
        start = end
