"""Return freed memory to the system."""

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE_BLOCK = 1 << 20  # bytes of a block that goes back to the system at once
LARGEST_HEAP_END = 8 << 20  # free bytes at the end of a heap, which the C library keeps
# Bytes received, after which a process returns memory once it is idle.
SERVER_TRIMS_AFTER = 1 << 20  # as many leave a spare block
ENGINE_TRIMS_AFTER = 32 << 20  # its heap is likely to be fragmented then
QUIET_SECONDS = 1.0  # without received bytes and without work, after which a process is idle


def return_large_blocks() -> None:
    """Have the C library return each block of a megabyte or more to the system once it is free.

    glibc raises this bound to up to 32 MB when such a block is freed, so that after some large
    images a process would stay as large as they were. Setting the bound turns this off. It also
    fixes the trim threshold at 128 kB, with which each image would fetch its memory from the
    system again: so that threshold is set as well.
    """
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        library.mallopt(M_TRIM_THRESHOLD, LARGEST_HEAP_END)


def return_free_pages() -> None:
    """Have the C library return free pages between blocks that are in use."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class Trim:
    """Returns free memory once a process that has received ``after`` bytes is idle.

    The C library keeps small free blocks, and cannot shrink the heap below one that is in use.
    ``busy`` returns whether work is in flight; ``drop`` frees what the process itself keeps. A
    process that receives nothing has no timer.
    """

    def __init__(
        self,
        busy: Callable[[], bool],
        after: int,
        drop: Callable[[], None] = lambda: None,
    ) -> None:
        self._busy = busy
        self._after = after
        self._drop = drop
        self._received = 0  # bytes since the last time
        self._waits = False

    def received(self, count: int) -> None:
        """Count received bytes; to be called on the event loop."""
        self._received += count
        if self._received >= self._after and not self._waits:
            self._wait()

    def _wait(self) -> None:
        self._waits = True
        asyncio.get_running_loop().call_later(QUIET_SECONDS, self._look, self._received)

    def _look(self, before: int) -> None:
        if self._received != before or self._busy():
            self._wait()
        else:
            self._waits, self._received = False, 0
            self._drop()
            return_free_pages()
