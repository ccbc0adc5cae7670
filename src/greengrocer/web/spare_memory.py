"""Memory of large bodies that are done, kept for the next ones.

The system clears each page of memory that a process takes from it. For a photo of 3.3 MB that is
half of what receiving it costs (docs/decisions/027).
"""

from greengrocer.serving.memory import LARGE_BLOCK

LARGEST_KEPT = 8 << 20  # of a block that is kept: most photos have less


class SpareMemory:
    """Blocks of memory, at most ``most`` bytes with those that are lent. Not for several threads.

    A lent block is larger than what has come of its body, which alone is counted among the bytes in
    flight: ``most`` bounds the difference.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._blocks: list[bytearray] = []
        self._lent = 0  # bytes

    @property
    def kept(self) -> int:
        """How many bytes nothing uses."""
        return sum(map(len, self._blocks))

    def lend(self, least: int, wanted: int) -> bytearray | None:
        """The smallest block of ``wanted`` bytes or more, else the largest of at least ``least``.

        It has the bytes of an earlier body. Return it with ``keep``.
        """
        fitting = [block for block in self._blocks if len(block) >= wanted]
        smaller = [block for block in self._blocks if len(block) >= least]
        if not smaller:
            return None
        block = min(fitting, key=len) if fitting else max(smaller, key=len)
        self._blocks = [each for each in self._blocks if each is not block]
        self._lent += len(block)
        return block

    def keep(self, block: bytearray, lent: int = 0) -> None:
        """Keep a block, if there is room and nothing reads it any more.

        ``lent`` are its bytes when it was lent: it may have grown.
        """
        self._lent -= lent
        if LARGE_BLOCK <= len(block) <= min(LARGEST_KEPT, self._most - self._lent - self.kept):
            try:
                block.append(block.pop())  # its size cannot change while a view of it exists
            except BufferError:  # a thread has been given up, or an image is compared
                return
            self._blocks.append(block)

    def clear(self) -> None:
        """Return what nothing uses to the system."""
        self._blocks.clear()
