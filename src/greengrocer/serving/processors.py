"""How many processors this process may really use."""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
CPU = "cpu"  # the controller; before the second version of cgroups it had a tree of its own
MEMBERSHIP = Path("/proc/self/cgroup")

_allotted: int | None = None


def allot(processors: int) -> None:
    """Use no more than these: the share that a scheduler has counted, but does not enforce."""
    global _allotted  # noqa: PLW0603  # as the affinity mask is one of the process
    _allotted = max(1, processors)


def usable_processors() -> int:
    """The least of affinity mask, cgroups' quota, rounded up, and what is allotted; at least 1.

    A container with a quota of two processors on a host of 64 must not start 64 threads.
    """
    affinity = _affinity()
    quota = _quota()
    usable = affinity if quota is None else max(1, min(affinity, math.ceil(quota)))
    return usable if _allotted is None else min(usable, _allotted)


def _affinity() -> int:
    """The processors of the affinity mask; all of them where the system has no such mask."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota() -> float | None:
    """The least quota of our cgroup and of those that it is in, in processors; None without any."""
    return min((quota for group in groups(CPU) if (quota := _quota_of(group))), default=None)


def groups(controller: str) -> Iterator[Path]:
    """Where its limits may stand. In a container it is the root, whatever the path says."""
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
