"""What becomes of memory that is given back."""

import ctypes
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGE = 1 << 20  # bytes
KEPT = 8 << 20  # bytes at the end of a heap


def return_large_blocks() -> None:
    """Have the C library return every block of a megabyte or more to the system when it is free.

    glibc does so only until the first such block is free. From then on it keeps blocks of up to
    32 MB for their like, so after some large pictures a process would be as large as they were.
    Whoever sets that bound has to set how much of smaller blocks is kept, too: it would stay at
    128 kB, and what each picture takes would be fetched from the system anew.
    """
    with suppress(OSError, AttributeError):  # another C library, which does it its own way
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE)
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
