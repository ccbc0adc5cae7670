"""What this process may use of the machine: processors, threads and memory."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from greengrocer.engines.engine import Threads
from greengrocer.errors import UsageError

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
CPU = "cpu"  # the controller; version 1 of cgroups has a tree for each controller
MEMORY_LIMITS = ("memory.max", "memory.limit_in_bytes")  # of versions 2 and 1 of cgroups

ENGINE_THREADS = "ORT_INTRA_OP_NUM_THREADS"
MOST_ALONE = 4  # a small network does not use more; not measured beyond two

MEGA = 1_000_000
DECODING = 2000 * MEGA, 128 * MEGA, 0.6  # at least in all, for each thread; part of all memory
UPLOADS = 256 * MEGA, 32 * MEGA, 0.1

_allotted: int | None = None


def allot(processors: int) -> None:
    """Use at most ``processors``: the share that a scheduler counts, but does not enforce."""
    global _allotted  # noqa: PLW0603  # as the affinity mask is one of the process
    _allotted = max(1, processors)


def usable_processors() -> int:
    """The least of affinity mask, CPU quota (rounded up) and allotted processors; at least 1.

    A container with a quota of two processors on a host of 64 must not start 64 threads.
    """
    affinity = _affinity()
    quota = _quota()
    usable = affinity if quota is None else max(1, min(affinity, math.ceil(quota)))
    return usable if _allotted is None else min(usable, _allotted)


def engine_threads() -> Threads:
    """The engine's own threads for one run; ORT_INTRA_OP_NUM_THREADS sets both numbers.

    Images run side by side, one on each thread: throughput is higher than with all threads on one
    image. An image that is alone gets the idle processors as well. Raises UsageError where the
    variable is not a number from 1 to 1024.
    """
    text = os.environ.get(ENGINE_THREADS)
    if text is None:
        processors = usable_processors()
        return Threads(each=1, alone=min(MOST_ALONE, processors), side_by_side=processors)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 1024):
        raise UsageError(
            f"{ENGINE_THREADS} is {text!r}: set it to a number of threads from 1 to 1024, "
            "or unset it"
        )
    each = int(text)
    return Threads(each, each, max(1, usable_processors() // each))


def picture_threads(largest_batch: int = 1, processors: int | None = None) -> int:
    """How many images to classify at once, so that all processors are busy; raises UsageError.

    ``processors`` replaces this process's usable processors, to ask for another process.

    An image keeps its thread while it waits for a batch. Two batches' worth of threads are added,
    so that one batch runs, the next one fills, and the processors still have work.
    """
    threads = engine_threads()
    side_by_side = max(1, processors // threads.each) if processors else threads.side_by_side
    return side_by_side if largest_batch == 1 else side_by_side + 2 * largest_batch


def decode_bytes(threads: int) -> int:
    """Default limit of the bytes of all images that ``threads`` decode at once."""
    return _share(threads, *DECODING)


def upload_bytes(threads: int, least: int) -> int:
    """Default limit of the bytes of all uploads in memory, not below ``least``."""
    return max(least, _share(threads, *UPLOADS))


def usable_memory() -> int:
    """Bytes: the least of physical memory and the limits of this process's cgroups."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (limit for group in _groups("memory") if (limit := _limit_of(group)) is not None)
    return min([physical, *limits])


def _share(threads: int, least: int, each: int, part: float) -> int:
    return min(max(least, each * threads), int(part * usable_memory()))


def _affinity() -> int:
    """The number of processors in the affinity mask; all where the system has no such mask."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> float | None:
    """The least CPU quota of this process's cgroups, in processors; None without a quota."""
    return min((quota for group in _groups(CPU) if (quota := _quota_of(group))), default=None)


def _groups(controller: str) -> Iterator[Path]:
    """The directories that may limit this process: the root, its cgroup, and the ones above.

    In a container the root is its cgroup, whatever path the system reports.
    """
    yield from (CGROUPS, CGROUPS / controller)
    with suppress(OSError, ValueError):
        for line in MEMBERSHIP.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            tree, own = CGROUPS / controller if controllers else CGROUPS, PurePosixPath(path)
            yield from (tree / group.relative_to("/") for group in (own, *own.parents))


def _quota_of(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            limit, period = (group / "cpu.max").read_text().split()[:2]
        else:
            limit = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        return None if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError):
        return None


def _limit_of(group: Path) -> int | None:
    for name in MEMORY_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            return int((group / name).read_text())
    return None
