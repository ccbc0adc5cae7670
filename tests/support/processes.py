"""What Linux tells of running processes."""

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """The process ids of the children of ``pid``, those excepted that wait to be buried."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return [child for child in found if alive(child)]


def command(pid: int) -> list[str]:
    """A process's command line, empty once it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether it runs: neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def tree(pid: int) -> list[int]:
    """A process and all its descendants, itself first."""
    return [pid, *(found for child in children(pid) for found in tree(child))]


def memory(pid: int, kind: str = "Pss") -> int:
    """Kilobytes of a ``kind`` that smaps_rollup tells; in Pss what is shared counts in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {kind}")


def descriptors(pid: int) -> int:
    """How many it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """How many it runs."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
