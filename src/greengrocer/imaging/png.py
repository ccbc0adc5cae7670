"""PNG: size, pixel layout, and the chunks that are needed: pixels, palette, transparency, EXIF.

Text, profiles and all other chunks are removed before decoding. So they are neither decompressed
nor checked, however many and large they are.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import MAX_EXIF, UPRIGHT, read_orientation
from greengrocer.imaging.stripped import Stripped

MAX_CHUNKS = 100_000  # reading their headers takes 30 ms; encoders write some thousands
PALETTE = 3

_START = 33  # bytes of the signature and the header
_END = b"\0\0\0\0IEND\xaeB`\x82"
_CHANNELS = {0: 1, 2: 3, PALETTE: 1, 4: 2, 6: 4}
_MAX_BYTES = {b"PLTE": 768, b"tRNS": 256}


class Layout(NamedTuple):
    """How a PNG stores its pixels."""

    depth: int  # bits a sample
    colour: int  # the colour type
    channels: int


class _Chunk(NamedTuple):
    kind: bytes
    start: int  # of its length
    end: int  # behind its checksum

    @property
    def length(self) -> int:
        return self.end - self.start - 12

    def content(self, data: bytes | memoryview) -> memoryview:
        return memoryview(data)[self.start + 8 : self.end - 4]

    def has_valid_checksum(self, data: bytes | memoryview) -> bool:
        checksum = int.from_bytes(data[self.end - 4 : self.end], "big")
        return self.end <= len(data) and checksum == zlib.crc32(
            memoryview(data)[self.start + 4 : self.end - 4]
        )


def read_size(data: bytes | memoryview) -> tuple[int, int]:
    """Width and height in pixels.

    Raises UnreadableImage, and struct.error where the file ends before.
    """
    if data[12:16] != b"IHDR":
        raise UnreadableImage("the PNG does not begin with an IHDR chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def read_layout(data: bytes | memoryview) -> Layout:
    """The layout of a PNG that ``read_header`` accepted; raises UnreadableImage."""
    depth, colour = data[24:25], data[25:26]
    if not colour or colour[0] not in _CHANNELS or depth[0] not in (1, 2, 4, 8, 16):
        raise UnreadableImage("the PNG has an invalid colour type or bit depth")
    return Layout(depth[0], colour[0], _CHANNELS[colour[0]])


def strip(data: bytes | memoryview) -> Stripped:
    """The parts that the decoder needs of a PNG that ``read_header`` accepted.

    The first palette, transparency and EXIF chunk count. One that is too long is left out. So is
    a transparency or EXIF chunk with a wrong checksum, as browsers do. Raises UnreadableImage.
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
            if chunk.length <= MAX_EXIF and chunk.has_valid_checksum(data):
                orientation = read_orientation(chunk.content(data))
        elif not pixels and _describes_colours(chunk, data):
            colours.append(view[chunk.start : chunk.end])
    return Stripped([view[:_START], *colours, pixels, b"" if cut else _END], orientation)


def _describes_colours(chunk: _Chunk, data: bytes | memoryview) -> bool:
    if chunk.length > _MAX_BYTES.get(chunk.kind, -1):
        return False
    return data[25] == PALETTE if chunk.kind == b"PLTE" else chunk.has_valid_checksum(data)


def _chunks(data: bytes | memoryview) -> Iterator[_Chunk]:
    """The first chunk of each kind that is needed, after the header and up to the end.

    Adjacent IDAT chunks are yielded as one; IDAT chunks after another chunk are ignored. The last
    chunk may be truncated.
    """
    start = _START
    wanted = {b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"IDAT"}
    pixels: int | None = None  # where they began
    for _ in range(MAX_CHUNKS):
        kind = bytes(data[start + 4 : start + 8])
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
