"""What a connection has sent and the parser has not had yet."""

import re
import time
from collections import deque
from dataclasses import dataclass

from greengrocer.web.wire.chunks import Chunks

# A head ends in one, and so do a chunked body's trailers; the half of it that was taken
# before is not looked at again.
BLANK_LINE = re.compile(rb"\A\r?\n|\n\r?\n")
ALIKE = 0.01  # seconds: what comes within these has come together
ALL_BYTES = 32 << 20  # of all connections
MOMENTS = 100  # of which no more are told apart


@dataclass
class AheadBudget:
    """The bytes that all connections of a process together have read ahead."""

    used: int = 0


class Ahead:
    """Bytes in their order, and when they came; ``budget`` counts them."""

    def __init__(self, budget: AheadBudget | None = None) -> None:
        self._budget = budget or AheadBudget()
        self._bytes = bytearray()
        self._end = 0  # of them, counted from the connection's first byte
        self._came: deque[tuple[int, float]] = deque()  # up to which byte, and when

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def over_budget(self) -> bool:
        """Whether all connections hold too much, and this one some of it."""
        return len(self._bytes) > 0 and self._budget.used > ALL_BYTES

    def add(self, data: bytes) -> None:
        """Some more has come."""
        self._budget.used += len(data)
        now = time.monotonic()
        self._bytes += data
        self._end += len(data)
        if self._came and (len(self._came) == MOMENTS or now - self._came[-1][1] < ALIKE):
            now = self._came.pop()[1]
        self._came.append((self._end, now))

    def take(self, body: int) -> bytearray:
        """The next bytes of a body that lacks ``body``; with 0, the next up to a blank line.

        No request ends before their end: the parser cannot be stopped on the way, and would begin
        the request behind.
        """
        end = body
        if not end:
            blank = BLANK_LINE.search(self._bytes)
            end = blank.end() if blank else len(self._bytes)
            del blank  # while it lives, its bytes cannot be taken away
        return self._take(end)

    def take_chunks(self, chunks: Chunks) -> bytearray:
        """The next bytes of a body of chunks; none where more must come first.

        Raises MalformedChunk.
        """
        return self._take(chunks.follow(self._bytes))

    def _take(self, end: int) -> bytearray:
        if end >= len(self._bytes):  # as ever with a body: it is not copied
            piece, self._bytes = self._bytes, bytearray()
        else:
            piece = self._bytes[:end]
            del self._bytes[:end]
        self._budget.used -= len(piece)
        while len(self._came) > 1 and self._came[0][0] < self._end - len(self._bytes):
            self._came.popleft()
        return piece

    def came(self) -> float:
        """When the last byte came that was taken, in monotonic seconds."""
        return self._came[0][1]

    def clear(self) -> None:
        """Forget all."""
        self._budget.used -= len(self._bytes)
        self._bytes = bytearray()
        self._came.clear()
