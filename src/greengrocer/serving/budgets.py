"""How much memory images and uploads may take, unless a setting says so."""

import os
from contextlib import suppress
from pathlib import Path

from greengrocer.serving.processors import groups

MEGA = 1_000_000
DECODING = 2000 * MEGA, 128 * MEGA, 0.6  # in all, or for each thread; the part of all memory
UPLOADS = 256 * MEGA, 32 * MEGA, 0.1
LIMITS = ("memory.max", "memory.limit_in_bytes")  # of the second and the first version of cgroups


def decode_bytes(threads: int) -> int:
    """Bytes that the images being decoded on so many threads may hold."""
    return _share(threads, *DECODING)


def upload_bytes(threads: int, least: int) -> int:
    """Bytes of uploads that may be in memory, but no fewer than ``least``."""
    return max(least, _share(threads, *UPLOADS))


def usable_memory() -> int:
    """The least of physical memory and the limits of our cgroup and those that it is in, bytes."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (limit for group in groups("memory") if (limit := _limit_of(group)) is not None)
    return min([physical, *limits])


def _share(threads: int, least: int, each: int, part: float) -> int:
    return min(max(least, each * threads), int(part * usable_memory()))


def _limit_of(group: Path) -> int | None:
    for name in LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            return int((group / name).read_text())
    return None
