"""An image file stripped to what a decoder needs: no text, no profiles, no thumbnails."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import NamedTuple


class Stripped(NamedTuple):
    """The parts of a file that the decoder needs, without a copy, and its EXIF orientation."""

    parts: list[bytes | memoryview]
    orientation: int  # EXIF's, 1 to 8


class PartsReader:
    """A binary file object over ``parts``, one after the other; nothing is copied until it is read.

    ``before_read`` is called before each read, and may raise to stop the reader.
    """

    def __init__(
        self, parts: Iterable[bytes | memoryview], before_read: Callable[[], None]
    ) -> None:
        self._parts = [memoryview(part) for part in parts if len(part)]
        self._starts = [0, *accumulate(map(len, self._parts))]
        self._position = 0
        self._before_read = before_read

    def read(self, size: int = -1, /) -> bytes:
        """The next ``size`` bytes, or fewer at the end; all that are left if it is negative."""
        self._before_read()
        last = self._starts[-1]
        end = last if size < 0 else min(self._position + size, last)
        found = []
        while self._position < end:
            number = bisect_right(self._starts, self._position) - 1
            start = self._starts[number]
            part = self._parts[number][self._position - start : end - start]
            found.append(part)
            self._position += len(part)
        return b"".join(found)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to ``offset`` from the start, from here (``whence`` 1) or from the end (2)."""
        self._position = max(0, offset + (0, self._position, self._starts[-1])[whence])
        return self._position

    def tell(self) -> int:
        """The offset at which the next read begins."""
        return self._position
