"""What becomes of memory that is given back."""

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 1 << 20  # bytes
KEPT = 8 << 20  # bytes at the end of a heap
MUCH = 32 << 20  # bytes received, after which free memory lies between what is in use
QUIET = 1.0  # seconds without more, and without work, that make a process one at rest


def return_large_blocks() -> None:
    """Have the C library return every block of a megabyte or more to the system when it is free.

    glibc does so only until the first such block is free. From then on it keeps blocks of up to
    32 MB for their like, so after some large images a process would be as large as they were.
    Whoever sets that bound has to set how much of smaller blocks is kept, too: it would stay at
    128 kB, and what each image takes would be fetched from the system anew.
    """
    with suppress(OSError, AttributeError):  # another C library, which does it its own way
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)


def return_free_pages() -> None:
    """Have the C library return what lies free between blocks that are in use."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


class Trim:
    """Returns free pages once a process is at rest that has received much.

    Small blocks are kept for their like, and one in use keeps all that lie below it. ``busy`` tells
    whether work is in flight. Nothing wakes a process that receives nothing.
    """

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self._received = 0  # bytes since the last time
        self._waits = False

    def received(self, count: int) -> None:
        """So many bytes have come; is called on the event loop."""
        self._received += count
        if self._received >= MUCH and not self._waits:
            self._wait()

    def _wait(self) -> None:
        self._waits = True
        asyncio.get_running_loop().call_later(QUIET, self._look, self._received)

    def _look(self, before: int) -> None:
        if self._received != before or self._busy():
            self._wait()
        else:
            self._waits, self._received = False, 0
            return_free_pages()
