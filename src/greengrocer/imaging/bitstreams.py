"""Checks that an item of a HEIC or AVIF holds one image, of the size that its file gives.

A decoder follows the stream, not the file around it: a stream of a few bytes can say that it has
a gigapixel, or ten thousand frames before the one that is shown.
"""

from collections.abc import Iterator

from greengrocer.imaging.isobmff import Damaged

MAX_UNITS = 5000  # pieces of a stream; an image has a slice or a tile in each
MAX_LAYERS = 4  # frames of an AVIF whose parts come one after the other

_SLICES = range(32)  # types of HEVC's units that hold pixels
_INTRA = range(16, 24)  # those of an image that needs no other one
_SEQUENCE, _FRAME_HEADER, _FRAME = 1, 3, 6  # types of AV1's units
_SWITCH, _KEY = 3, 0  # types of AV1's frames
_EITHER = 2  # each frame says itself


def check_hevc(stream: bytes, configuration: bytes) -> None:
    """Check that ``stream`` is one image that needs no other; ``configuration`` is its hvcC.

    The decoder compares its size with that of the file. Raises Damaged.
    """
    if len(configuration) < 23:
        raise Damaged("is truncated within its header")
    pictures = 0
    for unit in _hevc_units(stream, 1 + (configuration[21] & 3)):
        kind = unit[0] >> 1 & 0x3F
        if kind in _SLICES:
            if kind not in _INTRA:
                raise Damaged("is a video, not an image")
            pictures += unit[2] >> 7  # the first slice of an image says so
    if pictures != 1:
        raise Damaged(f"has {pictures} images in a stream: there must be one")


def check_av1(stream: bytes, width: int, height: int) -> None:
    """Check that ``stream`` is one image of at most ``width`` x ``height``; raises Damaged."""
    sequence: _Sequence | None = None
    frames = 0
    for kind, unit in _av1_units(stream):
        if kind == _SEQUENCE:
            if sequence is not None:
                raise Damaged("has two sequence headers")
            sequence = _Sequence(unit)
            if sequence.width > width or sequence.height > height:
                raise Damaged("has two headers with different sizes")
        elif kind in (_FRAME_HEADER, _FRAME):
            if sequence is None:
                raise Damaged("has a frame before its header")
            sequence.check_frame(unit)
            frames += 1
    if not 0 < frames <= MAX_LAYERS:
        raise Damaged(f"has {frames} images in a stream: there must be one")


def _hevc_units(stream: bytes, wide: int) -> Iterator[bytes]:
    """The first three bytes of each unit."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(stream):
            return
        size = int.from_bytes(stream[at : at + wide], "big")
        unit = stream[at + wide : at + wide + 3]
        if size < 3 or len(unit) < 3:
            raise Damaged("is truncated or damaged")
        yield unit
        at += wide + size
    raise Damaged("has a stream with too many units")


def _av1_units(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and first bytes of each unit."""
    at = 0
    for _ in range(MAX_UNITS):
        if at >= len(stream):
            return
        head = stream[at]
        at += 2 if head & 4 else 1
        size = len(stream) - at
        if head & 2:
            size, at = _leb128(stream, at)
        yield head >> 3 & 15, stream[at : at + min(size, 256)]
        at += size
    raise Damaged("has a stream with too many units")


def _leb128(stream: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k, byte in enumerate(stream[at : at + 8]):
        value |= (byte & 0x7F) << 7 * k
        if not byte & 0x80:
            return value, at + k + 1
    raise Damaged("is truncated or damaged")


class _Bits:
    """Bits of a unit, from the highest of its first byte on."""

    def __init__(self, unit: bytes) -> None:
        self._value = int.from_bytes(unit, "big")
        self._left = 8 * len(unit)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise Damaged("is truncated or damaged")
        return self._value >> self._left & ((1 << count) - 1)

    def skip_uvlc(self) -> None:
        zeros = 0
        while not self.take(1):
            zeros += 1
        self.take(min(zeros, 32))


class _Sequence:
    """AV1's sequence header, as far as to a frame's size (section 5.5 of its specification)."""

    def __init__(self, unit: bytes) -> None:
        bits = _Bits(unit)
        bits.take(4)  # profile, and whether it is a still image
        self.reduced = bool(bits.take(1))
        if self.reduced:
            bits.take(5)
        else:
            self._skip_operating_points(bits)
        wide, high = bits.take(4) + 1, bits.take(4) + 1
        self.width, self.height = bits.take(wide) + 1, bits.take(high) + 1
        if self.reduced:
            return
        self.frame_id = 0
        if bits.take(1):
            delta = bits.take(4) + 2
            self.frame_id = bits.take(3) + delta + 1
        bits.take(3)  # 128 pixel blocks, intra filters, intra edges
        bits.take(4)  # kinds of prediction between frames
        if bits.take(1):
            bits.take(2)
        self.screen_content = _EITHER if bits.take(1) else bits.take(1)
        self.integer_motion = _EITHER
        if self.screen_content and not bits.take(1):
            self.integer_motion = bits.take(1)

    def _skip_operating_points(self, bits: _Bits) -> None:
        if bits.take(1):
            bits.take(64)
            if bits.take(1):
                bits.skip_uvlc()
            if bits.take(1):
                raise Damaged("is a video, not an image")
        initial_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if initial_delay and bits.take(1):
                bits.take(4)

    def check_frame(self, unit: bytes) -> None:
        """Check that a frame is new and as large as its sequence (5.9.2); raises Damaged."""
        if self.reduced:
            return
        bits = _Bits(unit)
        if bits.take(1):
            raise Damaged("repeats a frame")
        kind, shown = bits.take(2), bits.take(1)
        if not shown:
            bits.take(1)
        if kind != _SWITCH and not (kind == _KEY and shown):
            bits.take(1)
        bits.take(1)
        screen = bits.take(1) if self.screen_content == _EITHER else self.screen_content
        if screen and self.integer_motion == _EITHER:
            bits.take(1)
        bits.take(self.frame_id)
        if kind == _SWITCH or bits.take(1):
            raise Damaged("has frames of different sizes")
