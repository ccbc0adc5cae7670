"""What Linux reports about running processes."""

from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

LISTEN = "0A"  # the state, in /proc/net/tcp


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
    """Kilobytes of a ``kind`` in smaps_rollup; Pss counts shared memory in parts."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {kind}")


def descriptors(pid: int) -> int:
    """How many it has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def page_faults(pid: int) -> int:
    """How often it was given a page of memory, none of them from a disk."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def threads(pid: int) -> int:
    """How many it runs."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def listening(pid: int) -> list[tuple[str, int]]:
    """The addresses and ports on which it takes connections."""
    sockets = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            sockets.add(str(link.readlink()))
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    return [_place(row[1]) for row in rows if row[3] == LISTEN and f"socket:[{row[9]}]" in sockets]


def _place(text: str) -> tuple[str, int]:
    """An address and a port, as /proc/net/tcp has them: words in the machine's order of bytes."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    found = ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found), int(port, 16)
