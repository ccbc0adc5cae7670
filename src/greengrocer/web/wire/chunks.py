"""A chunked body's framing: where its bytes may be cut."""

import re

# What the parser takes of it is the parser's to say; this takes no more than RFC 9112 has (7.1).
SIZE_LINE = re.compile(rb"0*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
LINE_BYTES = 4096  # of a chunk's size and extensions


class MalformedChunk(Exception):
    """A chunk does not begin with a line that tells its size."""


class Chunks:
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
