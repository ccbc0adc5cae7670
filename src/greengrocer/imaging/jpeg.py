"""JPEG: size, segments, and the parts that are needed: frame, tables, scans and orientation.

Comments and application data are removed before decoding, except what the colours depend on.
"""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import MAX_EXIF, PREFIX, UPRIGHT, read_orientation
from greengrocer.imaging.stripped import Stripped

# A real JPEG has a dozen segments before its frame header, a large ICC or EXIF some hundreds.
MAX_SEGMENTS = 1000
MAX_FILL = 1 << 16  # bytes of 0xFF before a marker, including its own; some encoders align with it
MAX_SCANS = 100  # of a file without an end marker; encoders write a dozen

END = b"\xff\xd9"
SCALES = (8, 4, 2, 1)  # to which a JPEG can be decoded: a fraction of its sides

_LENGTH = 2  # bytes of a segment's length, which counts itself
_SCAN_MARKER, _END_MARKER = 0xDA, 0xD9  # the second bytes of these markers
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x00, 0x01}  # 0x00: the 0xFF before it is stray
_FILL = re.compile(rb"\xff")
_MARKER = re.compile(rb"\xff{1,%d}+([^\xff])" % MAX_FILL, re.DOTALL)
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})  # Huffman coded: baseline, extended, progressive
_NEEDED = _FRAMES | {0xC4, 0xDB, 0xDD}  # and Huffman tables, quantisation tables, restart interval
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_KEPT = {(_JFIF, b"JFIF\0"): 14, (_ADOBE, b"Adobe"): 12}  # bytes that say how colours are coded
_RESTARTS = range(0xD0, 0xD8)

_TRAILER = 1 << 16  # bytes at the end of a file in which the end marker is searched
_BLOCK = 64  # coefficients
_SCAN_WORD = 0xDAFF  # the two bytes of a scan's marker as a little-endian number
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # after the data of a scan
_NOISE = b"\x27\x91\x6c\x0e\xd3\x48\xb5\x1a" * 8


class Segment(NamedTuple):
    """A segment of a JPEG. Both ends are offsets in the file."""

    marker: int  # the second byte of its marker
    start: int  # of its length
    end: int  # after its content; equal to start for a marker without content


def segments(data: bytes | memoryview, position: int = 2) -> Iterator[Segment]:
    """The segments from ``position`` on, at most MAX_SEGMENTS, without the data of scans.

    Raises struct.error where the file ends within a length, and UnreadableImage for an invalid
    length.
    """
    for _ in range(MAX_SEGMENTS):
        # libjpeg skips stray bytes between segments too
        start = _FILL.search(data, position)
        found = start and _MARKER.match(data, start.start())
        if not found:
            return
        marker, position = found[1][0], found.end()
        if marker in _STANDALONE:
            continue
        end = position
        if marker != _END_MARKER:
            (length,) = struct.unpack_from(">H", data, position)
            if length < _LENGTH:  # a decoder would go on elsewhere than we do
                raise UnreadableImage("the JPEG has a segment with an invalid length")
            end += length
        yield Segment(marker, position, end)
        position = end


def read_size(data: bytes | memoryview) -> tuple[int, int]:
    """Width and height in pixels, from the frame header.

    Raises UnreadableImage, and struct.error where the file ends before.
    """
    for segment in segments(data):
        if segment.marker in _FRAME_HEADERS:
            if segment.marker not in _FRAMES:
                raise UnreadableImage(
                    "the JPEG has lossless, hierarchical or arithmetic coding, which is not "
                    "supported: send a baseline or progressive JPEG"
                )
            height, width = struct.unpack_from(">HH", data, segment.start + 3)
            return width, height
        if segment.marker in (_END_MARKER, _SCAN_MARKER):
            break
    raise UnreadableImage("the JPEG has no frame header")


class Component(NamedTuple):
    """A colour component of a JPEG, with its sampling factors."""

    number: int
    across: int
    down: int


class Jpeg(NamedTuple):
    """The structure of a JPEG up to its first scan."""

    stripped: Stripped  # the last part is the first scan and all after it
    components: int  # 1, 3 or 4, of 8 bits
    coefficient_bytes: int  # that the decoder holds: 0 where it sees each block only once
    may_lack_end: bool  # whether the last 64 KiB of the scans have no end marker

    @property
    def in_one_scan(self) -> bool:
        """Whether the decoder stops after the first scan."""
        return self.coefficient_bytes == 0


def read_jpeg(data: bytes | memoryview) -> Jpeg:
    """The structure of a JPEG that ``read_header`` accepted; raises UnreadableImage."""
    view = memoryview(data)
    parts: list[bytes | memoryview] = [view[:2]]
    orientation = frame_marker = 0
    frame = b""
    for segment in _header_segments(data):
        content = view[segment.start + _LENGTH : segment.end]
        if segment.marker in _APPLICATION:
            parts += _colour_hints(segment.marker, content)
            if segment.marker == _EXIF and not orientation and content[:6] == PREFIX:
                orientation = read_orientation(content[:MAX_EXIF])
        elif segment.marker in _NEEDED:
            parts += [bytes([0xFF, segment.marker]), view[segment.start : segment.end]]
            if segment.marker in _FRAMES:
                frame_marker, frame = segment.marker, bytes(content)
    if not frame or segment.marker != _SCAN_MARKER:
        raise UnreadableImage("the JPEG is truncated or damaged")
    components = _components(frame)
    if frame[0] != 8 or len(components) == 2:
        raise UnreadableImage(
            f"the JPEG has {len(components)} components of {frame[0]} bits: send one that has "
            "1, 3 or 4 of 8 bits"
        )
    planes = data[segment.start + _LENGTH : segment.start + _LENGTH + 1]
    in_one_scan = planes == bytes([len(components)]) and frame_marker != _PROGRESSIVE
    held = 0 if in_one_scan else _coefficient_bytes(frame, components)
    scans = segment.start - 2
    parts.append(view[scans:])
    lacks_end = bytes(data[max(scans, len(data) - _TRAILER) :]).rfind(END) < 0
    return Jpeg(Stripped(parts, orientation or UPRIGHT), len(components), held, lacks_end)


def _header_segments(data: bytes | memoryview) -> Iterator[Segment]:
    """The segments up to the first scan, or to the end marker, included."""
    try:
        for segment in segments(data):
            yield segment
            if segment.marker in (_SCAN_MARKER, _END_MARKER):
                return
    except struct.error:
        raise UnreadableImage("the JPEG is truncated within its header") from None


def _components(frame: bytes) -> tuple[Component, ...]:
    found = tuple(
        Component(frame[k], frame[k + 1] >> 4, frame[k + 1] & 15)
        for k in range(6, len(frame) - 2, 3)
    )
    if not 1 <= len(found) <= 4 or not all(1 <= c.across <= 4 and 1 <= c.down <= 4 for c in found):
        raise UnreadableImage("the JPEG's frame header has invalid components")
    return found


def _coefficient_bytes(frame: bytes, components: tuple[Component, ...]) -> int:
    """Memory of the coefficients of all components, in whole groups of blocks."""
    height, width = struct.unpack_from(">HH", frame, 1)
    most_across = max(each.across for each in components)
    most_down = max(each.down for each in components)
    return sum(
        _blocks(width, each.across, most_across)
        * _blocks(height, each.down, most_down)
        * (2 * _BLOCK)
        for each in components
    )


def _blocks(pixels: int, sampled: int, most: int) -> int:
    """Blocks along a side, rounded up to whole groups of ``sampled``."""
    return -(-pixels // (8 * most)) * sampled


def _colour_hints(marker: int, content: memoryview) -> Iterator[bytes]:
    for (kind, name), length in _KEPT.items():
        if marker == kind and content[: len(name)] == name and len(content) >= length:
            yield bytes([0xFF, marker, 0, 2 + length]) + bytes(content[:length])


def scale(size: tuple[int, int], target: tuple[int, int]) -> int:
    """The smallest of the scales at which a JPEG of ``size`` is no smaller than ``target``."""
    most = min(size[0] // target[0], size[1] // target[1])
    return next((each for each in SCALES if most >= each), 1)


def count_scans(data: bytes | memoryview) -> int:
    """How often 0xFFDA, the marker of a scan, is in ``data``.

    Pairs of bytes at even offsets and then at odd ones are compared by NumPy: six times as fast as
    ``bytes.count``, and the GIL is released.
    """
    pairs = (np.frombuffer(data, "<u2", (len(data) - odd) // 2, odd) for odd in (0, 1))
    return sum(int(np.count_nonzero(each == _SCAN_WORD)) for each in pairs)


def strip_padding(scans: bytes) -> bytes:
    """The ``scans`` of a file without an end marker, without the padding at its end.

    Padding is half of a marker, or the zeros of a file that was allocated before it was written:
    the decoder would take them for pixels. A single zero may belong to a pixel.
    """
    scans = scans.rstrip(b"\xff")
    return scans.rstrip(b"\0").rstrip(b"\xff") if scans.endswith(b"\0\0") else scans


def continuations(scans: bytes) -> list[bytes]:
    """Several byte strings that could follow the ``scans`` of a truncated file, as more pixels.

    If all pixels are there, none of them changes the image. If pixels are missing, the decoder
    takes them for those. The last two begin with the restart marker that would be next.
    """
    scan = scans.rfind(bytes([0xFF, _SCAN_MARKER]))
    places = [(scans.rfind(bytes([0xFF, each]), scan), each) for each in _RESTARTS]
    last_at, last = max(places)
    following = bytes([0xFF, _RESTARTS[(last + 1) % 8] if last_at >= 0 else _RESTARTS[0]])
    more = [b"\x55" * 64, b"\xaa" * 64, _NOISE]
    return [b"", *more, following + _NOISE, following + _NOISE[::-1]]


def has_all_scans(data: bytes) -> bool:
    """Whether the scans that begin in ``data`` hold every bit of every coefficient."""
    bits: dict[tuple[int, int], int] = {}
    components: tuple[Component, ...] = ()
    for segment in _segments_of_all_scans(data):
        content = data[segment.start + 2 : segment.end]
        if segment.marker in _FRAMES:
            components = _components(content)
        elif segment.marker == _SCAN_MARKER and len(content) >= 4 + 2 * content[0]:
            first, last, precision = content[-3:]
            for number in content[1 : 1 + 2 * content[0] : 2]:
                for place in range(first, min(last, _BLOCK - 1) + 1):
                    bits[number, place] = precision & 15
    wanted = {(each.number, place) for each in components for place in range(_BLOCK)}
    return bool(components) and all(bits.get(each) == 0 for each in wanted)


def _segments_of_all_scans(data: bytes) -> Iterator[Segment]:
    position = 2
    for _ in range(MAX_SCANS):
        last = None
        for segment in segments(data, position):
            yield segment
            if segment.marker in (_SCAN_MARKER, _END_MARKER):
                last = segment
                break
        following = last and last.marker == _SCAN_MARKER and _NEXT_MARKER.search(data, last.end)
        if not following:
            return
        position = following.start()
