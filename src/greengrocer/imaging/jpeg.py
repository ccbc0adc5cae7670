"""What of a JPEG is needed: its frame, its tables, its scans and its orientation."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from greengrocer.errors import UnreadableImage
from greengrocer.imaging.exif import PREFIX, UPRIGHT, read_orientation
from greengrocer.imaging.formats import JPEG_END, JPEG_SCAN, Segment, jpeg_segments
from greengrocer.imaging.shown import MAX_EXIF, Shown

END = b"\xff\xd9"
MOST_SCANS = 100  # of a file without an end; encoders make a dozen
TRAILER = 1 << 16  # bytes behind the end marker among which it is looked for
SCALES = (8, 4, 2, 1)  # to which a JPEG is decoded: a fraction of its sides

_NOISE = b"\x27\x91\x6c\x0e\xd3\x48\xb5\x1a" * 8

_SCAN_WORD = 0xDAFF  # the two bytes of a scan's marker as a little-endian number
_JFIF, _EXIF, _ADOBE = 0xE0, 0xE1, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_KEPT = {(_JFIF, b"JFIF\0"): 14, (_ADOBE, b"Adobe"): 12}  # bytes that tell how colours are coded
_PROGRESSIVE = 0xC2
_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_NEEDED = _FRAMES | {0xC4, 0xDB, 0xDD}  # with tables of codes and quanta, and restart intervals
_BLOCK = 64  # coefficients
_RESTARTS = range(0xD0, 0xD8)
_BEHIND_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


class Component(NamedTuple):
    """One of the planes of a JPEG, and how finely it is sampled."""

    number: int
    across: int
    down: int


class Frame(NamedTuple):
    """What a JPEG's frame header says, and whether one scan holds it all."""

    width: int
    height: int
    components: tuple[Component, ...]
    in_one_scan: bool
    scan: int  # offset of the first scan

    @property
    def coefficient_bytes(self) -> int:
        """What the decoder holds of them: nothing where it sees each block once."""
        if self.in_one_scan:
            return 0
        most_across = max(each.across for each in self.components)
        most_down = max(each.down for each in self.components)
        return sum(
            _blocks(self.width, each.across, most_across)
            * _blocks(self.height, each.down, most_down)
            * (2 * _BLOCK)
            for each in self.components
        )


def _blocks(pixels: int, sampled: int, most: int) -> int:
    """Blocks along a side, rounded up to whole groups of ``sampled``."""
    return -(-pixels // (8 * most)) * sampled


def read_frame(data: bytes) -> Frame:
    """Of a JPEG that ``read_header`` has taken; raises UnreadableImage."""
    progressive, frame = False, b""
    for segment in _segments(data):
        if segment.marker in _FRAMES:
            progressive = segment.marker == _PROGRESSIVE
            frame = data[segment.start + 2 : segment.end]
        elif segment.marker == JPEG_SCAN and frame:
            found = _components(frame)
            planes = data[segment.start + 2 : segment.start + 3]
            alone = planes == bytes([len(found)]) and not progressive
            height, width = (int.from_bytes(frame[k : k + 2], "big") for k in (1, 3))
            return Frame(width, height, found, alone, segment.start)
    raise UnreadableImage("the JPEG is truncated or damaged")


def _components(frame: bytes) -> tuple[Component, ...]:
    found = tuple(
        Component(frame[k], frame[k + 1] >> 4, frame[k + 1] & 15)
        for k in range(6, len(frame) - 2, 3)
    )
    if not 1 <= len(found) <= 4 or not all(1 <= c.across <= 4 and 1 <= c.down <= 4 for c in found):
        raise UnreadableImage("the JPEG's frame header has invalid components")
    return found


def scale(size: tuple[int, int], target: tuple[int, int]) -> int:
    """The smallest of the scales at which a JPEG of ``size`` is no smaller than ``target``."""
    most = min(size[0] // target[0], size[1] // target[1])
    return next((each for each in SCALES if most >= each), 1)


def shown(data: bytes) -> Shown:
    """What the decoder is to see of a JPEG that ``read_header`` has taken.

    Comments and what applications wrote are left out, but for what colours depend on. Raises
    UnreadableImage.
    """
    view = memoryview(data)
    pieces: list[bytes | memoryview] = [view[:2]]
    orientation = 0
    for segment in _segments(data):
        if segment.marker in (JPEG_SCAN, JPEG_END):
            pieces.append(view[segment.start - 2 :])
            return Shown(pieces, orientation or UPRIGHT)
        content = view[segment.start + 2 : segment.end]
        if segment.marker in _APPLICATION:
            pieces += _colour_hints(segment.marker, content)
            if segment.marker == _EXIF and not orientation and content[:6] == PREFIX:
                orientation = read_orientation(content[:MAX_EXIF])
        elif segment.marker in _NEEDED:
            pieces += [bytes([0xFF, segment.marker]), view[segment.start : segment.end]]
    raise UnreadableImage("the JPEG is truncated or damaged")


def _colour_hints(marker: int, content: memoryview) -> Iterator[bytes]:
    for (kind, name), length in _KEPT.items():
        if marker == kind and content[: len(name)] == name and len(content) >= length:
            yield bytes([0xFF, marker, 0, 2 + length]) + bytes(content[:length])


def _segments(data: bytes) -> Iterator[Segment]:
    try:
        yield from jpeg_segments(data)
    except IndexError:
        raise UnreadableImage("the JPEG is truncated within its header") from None


def count_scans(data: bytes | memoryview) -> int:
    """How often 0xFFDA, the marker of a scan, stands in ``data``: in a sixth of ``count``'s time.

    Of two bytes each, those at even places and then those at odd ones; the GIL is released.
    """
    pairs = (np.frombuffer(data, "<u2", (len(data) - odd) // 2, odd) for odd in (0, 1))
    return sum(int(np.count_nonzero(each == _SCAN_WORD)) for each in pairs)


def may_lack_end(scans: bytes | memoryview) -> bool:
    """Whether no end marker is in the last 64 KiB of a file's ``scans`` and what comes behind."""
    return END not in bytes(scans[-TRAILER:])


def without_filling(scans: bytes) -> bytes:
    """The ``scans`` of a file without an end, less what fills it up.

    Half of a marker, and the zeros of a file whose size was set before its content came: they
    would be taken for pixels. One zero may be a pixel's.
    """
    scans = scans.rstrip(b"\xff")
    return scans.rstrip(b"\0").rstrip(b"\xff") if scans.endswith(b"\0\0") else scans


def pads(scans: bytes) -> list[bytes]:
    """What may follow the ``scans`` of a file that was cut: more pixels, of several kinds.

    Behind pixels that are all there none of them changes any; where pixels are missing they are
    taken for those. The last two go on behind a restart marker, the one that would be next.
    """
    scan = scans.rfind(bytes([0xFF, JPEG_SCAN]))
    places = [(scans.rfind(bytes([0xFF, each]), scan), each) for each in _RESTARTS]
    last_at, last = max(places)
    following = bytes([0xFF, _RESTARTS[(last + 1) % 8] if last_at >= 0 else _RESTARTS[0]])
    more = [b"\x55" * 64, b"\xaa" * 64, _NOISE]
    return [b"", *more, following + _NOISE, following + _NOISE[::-1]]


def has_all_scans(data: bytes) -> bool:
    """Whether the scans that begin in ``data`` tell every bit of every coefficient."""
    bits: dict[tuple[int, int], int] = {}
    components: tuple[Component, ...] = ()
    for segment in _with_later_scans(data):
        content = data[segment.start + 2 : segment.end]
        if segment.marker in _FRAMES:
            components = _components(content)
        elif segment.marker == JPEG_SCAN and len(content) >= 4 + 2 * content[0]:
            first, last, precision = content[-3:]
            for number in content[1 : 1 + 2 * content[0] : 2]:
                for place in range(first, min(last, _BLOCK - 1) + 1):
                    bits[number, place] = precision & 15
    wanted = {(each.number, place) for each in components for place in range(_BLOCK)}
    return bool(components) and all(bits.get(each) == 0 for each in wanted)


def _with_later_scans(data: bytes) -> Iterator[Segment]:
    position = 2
    for _ in range(MOST_SCANS):
        last = None
        for segment in jpeg_segments(data, position):
            yield segment
            if segment.marker in (JPEG_SCAN, JPEG_END):
                last = segment
                break
        behind = last and last.marker == JPEG_SCAN and _BEHIND_SCAN.search(data, last.end)
        if not behind:
            return
        position = behind.start()
