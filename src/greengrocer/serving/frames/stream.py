"""Bytes as they come become frames, under a limit of length for every kind."""

from collections.abc import Iterator

from greengrocer.serving.frames.fields import Malformed
from greengrocer.serving.frames.frames import (
    BARE,
    HEAD,
    KINDS,
    Answered,
    Classify,
    Described,
    Frame,
    Refused,
    decode,
)

ANSWER_BYTES = 64 << 20  # evidence of a large map of thousands of classes
LABEL_BYTES = 64 << 20
SMALL_BYTES = 1 << 16
CLASSIFY_BYTES = 1 << 12  # what stands around an image


class FrameStream:
    """Cuts a stream of bytes into frames of the kinds that are ``expected``."""

    def __init__(self, expected: tuple[type[Frame], ...], picture_bytes: int = 0) -> None:
        self._limits = {kind: _limit(kind, picture_bytes) for kind in KINDS if kind in expected}
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes; raises Malformed, after which nothing is read."""
        self._buffer += data
        while len(self._buffer) >= HEAD.size:
            number_of_kind, number, length = HEAD.unpack_from(self._buffer)
            if not 1 <= number_of_kind <= len(KINDS):
                raise Malformed("a frame of no kind")
            kind = KINDS[number_of_kind - 1]
            if length > self._limits.get(kind, -1):
                raise Malformed(f"a frame {kind.__name__} of {length} bytes")
            end = HEAD.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as view:
                body = bytes(view[HEAD.size : end])
            del self._buffer[:end]
            yield decode(kind, number, body)


def _limit(kind: type[Frame], picture_bytes: int) -> int:
    if kind in BARE:
        return 0
    if kind is Classify:
        return picture_bytes + CLASSIFY_BYTES
    return {Answered: ANSWER_BYTES, Described: LABEL_BYTES, Refused: SMALL_BYTES}.get(
        kind, SMALL_BYTES
    )
