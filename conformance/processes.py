"""Linux's figures of the service's processes, if the suite knows its process id."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest


class Processes(NamedTuple):
    """A process with all its descendants, itself first."""

    pids: tuple[int, ...]

    def kilobytes(self, line: str = "Pss") -> int:
        """What all take together, by this ``line`` of their smaps_rollup."""
        return sum(_number(Path(f"/proc/{pid}/smaps_rollup"), line) for pid in self.pids)

    def forget_peaks(self) -> None:
        """Count each process's highest memory from now on."""
        for pid in self.pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """Kilobytes that all have taken together at their highest, each at a moment of its own."""
        return sum(_number(Path(f"/proc/{pid}/status"), "VmHWM") for pid in self.pids)

    def seconds(self) -> float:
        """Processor time that all have taken together so far."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2] for pid in self.pids]
        ticks = sum(int(tick) for stat in stats for tick in stat.split()[11:13])
        return ticks / os.sysconf("SC_CLK_TCK")

    def connections(self) -> list[tuple[int, int]]:
        """The local and the remote port (0: listening) of each of their sockets of TCP."""
        files = {name for pid in self.pids for name in _open_files(pid)}
        inodes = {name[8:-1] for name in files if name.startswith("socket:")}
        tables = [Path(f"/proc/{self.pids[0]}/net/{name}") for name in ("tcp", "tcp6")]
        rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
        return [(_port(row[1]), _port(row[2])) for row in rows if row[9] in inodes]


def processes(pid: int) -> Processes:
    """The processes that now descend from ``pid``."""
    return Processes(tuple(_tree(pid)))


def processes_of(config: pytest.Config) -> Processes:
    """Those of the service, or the test is skipped."""
    pid = config.getoption("--pid")
    if pid is None:
        pytest.skip("--pid is not given")
    return processes(int(pid))


def _tree(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [pid, *(found for child in children for found in _tree(child))]


def _open_files(pid: int) -> Iterator[str]:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            yield str(link.readlink())


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _number(file: Path, line: str) -> int:
    for text in file.read_text().splitlines():
        if text.startswith(f"{line}:"):
            return int(text.split()[1])
    raise AssertionError(f"{file} has no {line}")
