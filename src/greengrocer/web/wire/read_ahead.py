"""What a connection has sent and the parser has not read yet, and where it may be cut."""

import re
import time
from collections import deque
from dataclasses import dataclass

# A head ends in one, and so do a chunked body's trailers; the half of it that was taken
# before is not looked at again.
BLANK_LINE = re.compile(rb"\A\r?\n|\n\r?\n")
ALIKE = 0.01  # seconds: what comes within these has come together
ALL_BYTES = 32 << 20  # of all connections
MOMENTS = 100  # of which no more are told apart
# What the parser takes of it is the parser's to say; this takes no more than RFC 9112 has (7.1).
SIZE_LINE = re.compile(rb"0*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
LINE_BYTES = 4096  # of a chunk's size and extensions


class MalformedChunk(Exception):
    """A chunk does not begin with a line that tells its size."""


class ChunkFraming:
    """Follows a body from its first chunk to the line of its last.

    The parser is given all chunks of a read at once. None of what is behind the last chunk is among
    them: there the next request may begin.
    """

    def __init__(self) -> None:
        self._left = 0  # bytes of the newest chunk and the line break behind it
        self.ended = False  # but for the trailers

    def follow(self, data: bytearray) -> int:
        """How many bytes of ``data``, the body's next, can be parsed now: all but half a size line.

        Raises MalformedChunk.
        """
        at = self._left
        while at < len(data) and not self.ended:
            line = SIZE_LINE.match(data, at)
            if line is None:
                if b"\n" in data[at : at + LINE_BYTES] or len(data) - at >= LINE_BYTES:
                    raise MalformedChunk
                break
            size = int(line[1], 16)
            at = line.end() + (size + 2 if size else 0)
            self.ended = not size
        self._left = max(0, at - len(data))
        return min(at, len(data))


@dataclass
class ReadAheadBudget:
    """The bytes that all connections of a process together have read ahead."""

    used: int = 0


class ReadAhead:
    """Bytes in their order, and when they came; ``budget`` counts them."""

    def __init__(self, budget: ReadAheadBudget | None = None) -> None:
        self._budget = budget or ReadAheadBudget()
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

    def take_chunks(self, chunks: ChunkFraming) -> bytearray:
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
