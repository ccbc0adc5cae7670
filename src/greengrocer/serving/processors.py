"""How many processors this process may really use."""

import math
import os
from pathlib import Path

CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")

_allotted: int | None = None


def allot(processors: int) -> None:
    """Use no more than these: the share that a scheduler has counted, but does not enforce."""
    global _allotted  # noqa: PLW0603  # as the affinity mask is one of the process
    _allotted = max(1, processors)


def usable_processors() -> int:
    """The least of affinity mask, cgroup's quota, rounded up, and what is allotted; at least 1.

    A container with a quota of two processors on a host of 64 must not start 64 threads.
    """
    affinity = len(os.sched_getaffinity(0))
    quota = _quota()
    usable = affinity if quota is None else max(1, min(affinity, math.ceil(quota)))
    return usable if _allotted is None else min(usable, _allotted)


def _quota() -> float | None:
    """The cgroup's quota in processors, or None where there is none."""
    try:
        if CGROUP_V2.exists():
            limit, period = CGROUP_V2.read_text().split()[:2]
        else:
            limit = (CGROUP_V1 / "cpu.cfs_quota_us").read_text().strip()
            period = (CGROUP_V1 / "cpu.cfs_period_us").read_text().strip()
        return None if limit in ("max", "-1") else int(limit) / int(period)
    except (OSError, ValueError):
        return None
