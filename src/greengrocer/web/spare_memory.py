"""Memory of large bodies that are done, kept for the next ones.

The system clears each page of memory that a process takes from it. For a photo of 3.3 MB that is
half of what receiving it costs (docs/decisions/027).
"""

LARGE = 1 << 20  # bytes of a block that the C library would return to the system at once
MOST = 16 << 20  # bytes that are kept


class SpareMemory:
    """Blocks of memory that nothing uses, ``MOST`` bytes in all. Not for several threads."""

    def __init__(self) -> None:
        self._blocks: list[bytearray] = []

    def __len__(self) -> int:
        """How many bytes are kept."""
        return sum(map(len, self._blocks))

    def take(self, least: int) -> bytearray | None:
        """A block of at least ``least`` bytes, which are those of an earlier body; or None."""
        for index, block in enumerate(self._blocks):
            if len(block) >= least:
                return self._blocks.pop(index)
        return None

    def keep(self, block: bytearray) -> None:
        """Keep a block, if it is large, there is room, and nothing reads it any more."""
        if LARGE <= len(block) <= MOST - len(self):
            try:
                block.pop()  # a block cannot shrink while a view of it exists
            except BufferError:  # a thread has been given up, or an image is compared
                return
            self._blocks.append(block)

    def clear(self) -> None:
        """Return all to the system."""
        self._blocks.clear()
