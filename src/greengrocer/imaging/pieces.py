"""Parts of an image's bytes as a file: a decoder sees what it needs, and nothing is copied."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate


class Pieces:
    """A file to read whose content is ``pieces``, one behind the other.

    ``before_read`` is called before each read, and may raise to stop whoever reads.
    """

    def __init__(
        self, pieces: Iterable[bytes | memoryview], before_read: Callable[[], None]
    ) -> None:
        self._pieces = [memoryview(piece) for piece in pieces if len(piece)]
        self._starts = [0, *accumulate(map(len, self._pieces))]
        self._at = 0
        self._before_read = before_read

    def read(self, size: int = -1, /) -> bytes:
        """The next ``size`` bytes, or fewer at the end; all that are left if it is negative."""
        self._before_read()
        last = self._starts[-1]
        end = last if size < 0 else min(self._at + size, last)
        parts = []
        while self._at < end:
            number = bisect_right(self._starts, self._at) - 1
            start = self._starts[number]
            part = self._pieces[number][self._at - start : end - start]
            parts.append(part)
            self._at += len(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to ``offset`` from the start, from here (``whence`` 1) or from the end (2)."""
        self._at = max(0, offset + (0, self._at, self._starts[-1])[whence])
        return self._at

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at
