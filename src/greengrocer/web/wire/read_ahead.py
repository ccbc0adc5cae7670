"""Bytes that a connection has sent and the parser has not read yet, and where to cut them."""

import re
import time
from collections import deque
from dataclasses import dataclass

# Ends a head, and the trailers of a chunked body. The first half may have been taken before.
BLANK_LINE = re.compile(rb"\A\r?\n|\n\r?\n")
SAME_READ_SECONDS = 0.01  # bytes that come within these get one time
ALL_BYTES = 32 << 20  # of all connections of a process
MAX_TIMES = 100  # that are kept for a connection
# As RFC 9112 has it (7.1), but with 16 digits at most: of more, a proxy may read only some. The
# parser checks it again, and may refuse more.
SIZE_LINE = re.compile(rb"0?([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
LINE_BYTES = 4096  # of a chunk's size and extensions
# Each chunk takes about a microsecond of the event loop, whatever it holds. So beyond the first
# ones a body's chunks must have a mean size.
FREE_CHUNKS = 4096
MEAN_CHUNK = 256  # bytes


class MalformedChunk(Exception):
    """A chunk does not begin with a line that has its size."""


class TooManyChunks(Exception):
    """A body has many chunks for its size."""


class ChunkFraming:
    """Follows a chunked body from its first chunk to the size line of its last.

    The parser gets all chunks of a read at once, and no byte after the last chunk: the next
    request may begin there.
    """

    def __init__(self) -> None:
        self._rest = 0  # bytes still missing of the newest chunk and the line break after it
        self._chunks = 0
        self._bytes = 0  # in them
        self.ended = False  # except for the trailers

    def follow(self, data: bytearray) -> int:
        """How many bytes of ``data``, the body's next, can be parsed: not an incomplete size line.

        Raises MalformedChunk, or TooManyChunks.
        """
        at = self._rest
        while at < len(data) and not self.ended:
            line = SIZE_LINE.match(data, at, at + LINE_BYTES)
            if line is None:
                if b"\n" in data[at : at + LINE_BYTES] or len(data) - at >= LINE_BYTES:
                    raise MalformedChunk
                break
            size = int(line[1], 16)
            self._chunks += 1
            self._bytes += size
            if self._chunks > FREE_CHUNKS + self._bytes // MEAN_CHUNK:
                raise TooManyChunks
            at = line.end() + (size + 2 if size else 0)
            self.ended = not size
        self._rest = max(0, at - len(data))
        return min(at, len(data))


@dataclass
class ReadAheadBudget:
    """How many bytes all connections of a process together have read ahead."""

    used: int = 0


class ReadAhead:
    """A connection's bytes that the parser has not read, with their arrival times.

    ``budget`` counts those of all connections.
    """

    def __init__(self, budget: ReadAheadBudget | None = None) -> None:
        self._budget = budget or ReadAheadBudget()
        self._bytes = bytearray()
        self._end = 0  # of the bytes, counted from the connection's first one
        self._times: deque[tuple[int, float]] = deque()  # up to which byte, and when it came

    def __len__(self) -> int:
        return len(self._bytes)

    @property
    def over_budget(self) -> bool:
        """Whether all connections together hold too much, and this one some of it."""
        return len(self._bytes) > 0 and self._budget.used > ALL_BYTES

    def add(self, data: bytes) -> None:
        """Add what was read."""
        self._budget.used += len(data)
        now = time.monotonic()
        self._bytes += data
        self._end += len(data)
        if self._times and (
            len(self._times) == MAX_TIMES or now - self._times[-1][1] < SAME_READ_SECONDS
        ):
            now = self._times.pop()[1]
        self._times.append((self._end, now))

    def take(self, body: int) -> bytearray:
        """The next bytes of a body that lacks ``body``; with 0, the next up to a blank line.

        A request can end only where they end: the parser cannot be stopped midway, and would begin
        the next request.
        """
        end = body
        if not end:
            blank = BLANK_LINE.search(self._bytes)
            end = blank.end() if blank else len(self._bytes)
            del blank  # it holds the buffer, which then cannot shrink
        return self._take(end)

    def take_chunks(self, chunks: ChunkFraming) -> bytearray:
        """The next bytes of a chunked body; none where more must come first.

        Raises MalformedChunk.
        """
        return self._take(chunks.follow(self._bytes))

    def _take(self, end: int) -> bytearray:
        if end >= len(self._bytes):  # the usual case of a body: no copy
            piece, self._bytes = self._bytes, bytearray()
        else:
            piece = self._bytes[:end]
            del self._bytes[:end]
        self._budget.used -= len(piece)
        while len(self._times) > 1 and self._times[0][0] < self._end - len(self._bytes):
            self._times.popleft()
        return piece

    def arrived(self) -> float:
        """When the last byte that was taken came, in monotonic seconds."""
        return self._times[0][1]

    def clear(self) -> None:
        """Drop all bytes."""
        self._budget.used -= len(self._bytes)
        self._bytes = bytearray()
        self._times.clear()
