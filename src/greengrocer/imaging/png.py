"""What of a PNG is needed: its pixels, palette, transparency and orientation.

Texts, profiles and whatever else a PNG may hold are left out before the decoder sees them, so
they are neither unpacked nor checked, however many and large they are.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import UPRIGHT, read_orientation
from greengrocer.imaging.shown import MAX_EXIF, Shown

MAX_CHUNKS = 100_000  # to look through them takes 30 ms; encoders make some thousands
PALETTE = 3

_START = 33  # bytes of the signature and the header
_END = b"\0\0\0\0IEND\xaeB`\x82"
_CHANNELS = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
_MOST = {b"PLTE": 768, b"tRNS": 256}  # bytes


class Layout(NamedTuple):
    """How a PNG stores its pixels."""

    depth: int  # bits a sample
    colour: int  # the format's number of what the samples are
    channels: int


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its length
    end: int  # behind its checksum

    @property
    def length(self) -> int:
        return self.end - self.start - 12

    def content(self, data: bytes) -> memoryview:
        return memoryview(data)[self.start + 8 : self.end - 4]

    def is_sound(self, data: bytes) -> bool:
        told = int.from_bytes(data[self.end - 4 : self.end], "big")
        return self.end <= len(data) and told == zlib.crc32(
            memoryview(data)[self.start + 4 : self.end - 4]
        )


def layout(data: bytes) -> Layout:
    """Of a PNG that ``read_header`` has taken; raises UnreadableImage."""
    depth, colour = data[24:25], data[25:26]
    if not colour or colour[0] not in _CHANNELS or depth[0] not in (1, 2, 4, 8, 16):
        raise UnreadableImage("the PNG has an invalid colour type or bit depth")
    return Layout(depth[0], colour[0], _CHANNELS[colour[0]])


def shown(data: bytes) -> Shown:
    """What the decoder is to see of a PNG that ``read_header`` has taken.

    Of palettes, transparencies and EXIF blocks the first counts. One that is too long or, where
    that is no reason to refuse the image, has a wrong checksum is left out, as browsers do.
    Raises UnreadableImage.
    """
    view = memoryview(data)
    colours: list[memoryview] = []
    pixels = view[:0]
    orientation = UPRIGHT
    cut = False
    for chunk in _chunks(data):
        if chunk.kind == b"IHDR":
            raise UnreadableImage("the PNG has two IHDR chunks")
        if chunk.kind == b"IDAT":
            pixels, cut = view[chunk.start : chunk.end], chunk.end > len(data)
        elif chunk.kind == b"eXIf":
            if chunk.length <= MAX_EXIF and chunk.is_sound(data):
                orientation = read_orientation(chunk.content(data))
        elif not pixels and _tells_colours(chunk, data):
            colours.append(view[chunk.start : chunk.end])
    return Shown([view[:_START], *colours, pixels, b"" if cut else _END], orientation)


def _tells_colours(chunk: _Chunk, data: bytes) -> bool:
    if chunk.length > _MOST.get(chunk.kind, -1):
        return False
    return data[25] == PALETTE if chunk.kind == b"PLTE" else chunk.is_sound(data)


def _chunks(data: bytes) -> Iterator[_Chunk]:
    """The first of each kind that counts, behind the header and up to the end.

    Neighbours that hold pixels are one; behind anything else pixels are not the image's. The last
    chunk may be cut.
    """
    start = _START
    wanted = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT"}
    pixels: int | None = None  # where they began
    for _ in range(MAX_CHUNKS):
        kind = data[start + 4 : start + 8]
        if pixels is not None and kind != b"IDAT":
            yield _Chunk(b"IDAT", pixels, start)
            pixels = None
        if len(kind) < 4 or kind == b"IEND":
            return
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if kind in wanted:
            wanted.remove(kind)
            if kind == b"IDAT":
                pixels = start
            else:
                yield _Chunk(kind, start, end)
        start = end
    raise UnreadableImage(f"the PNG has over {MAX_CHUNKS} chunks: too many to be read")
