"""What becomes of memory that is given back."""

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3  # glibc's malloc.h
LARGE = 1 << 20  # bytes


def return_large_blocks() -> None:
    """Have the C library return every block of a megabyte or more to the system when it is free.

    glibc does so only until the first such block is free. From then on it keeps blocks of up to
    32 MB for their like, so after some large pictures a process would be as large as they were.
    """
    with suppress(OSError, AttributeError):  # another C library, which does it its own way
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
