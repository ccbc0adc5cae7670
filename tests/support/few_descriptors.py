"""Leave a process few descriptors, without changing those that it has."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path


@contextmanager
def descriptors_left(pid: int, free: int) -> Iterator[None]:
    """The process may open so many more, until the end of the block."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    entries = list(Path(f"/proc/{pid}/fd").iterdir())
    taken = {int(entry.name) for entry in entries if entry.is_symlink()}  # not that of the list
    lowest = next(islice((number for number in count() if number not in taken), free, None))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
