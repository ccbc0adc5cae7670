"""Limit a resource of a running process."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def at_most(pid: int, kind: int, amount: int) -> Iterator[None]:
    """A limit (``resource.RLIMIT_...``) for a running process, until the end."""
    usual, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (amount, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, (usual, hard))


def written_memory(pid: int) -> int:
    """Bytes that RLIMIT_DATA counts."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmData")


def processor_seconds(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
