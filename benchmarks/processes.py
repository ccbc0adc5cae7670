"""The measured processes: start, find by id, read CPU time, stop."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")  # of /proc/PID/stat, a second
STOP_SECONDS = 60
ALWAYS_FULL = Path(__file__).parent / "always_full"  # see its sitecustomize


@dataclass(frozen=True)
class Service:
    """A running ``greengrocer serve``, or another server."""

    pid: int
    port: int


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def service(*flags: str, always_full: bool = False) -> Iterator[Service]:
    """Run ``greengrocer serve`` on a free port, with its access log off.

    One that is ``always_full`` refuses every image.
    """
    command = [
        *(sys.executable, "-m", "greengrocer", "serve", "--port", "0"),
        *("--access-log", "false", "--drain-delay-seconds", "0", *flags),
    ]
    environment = dict(os.environ)
    if always_full:
        paths = (str(ALWAYS_FULL), environment.get("PYTHONPATH"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with _serving(command, environment) as running:
        yield running


@contextmanager
def least_server(bundle: str) -> Iterator[Service]:
    """Run ``benchmarks.least_server`` on a free port."""
    with _serving([sys.executable, "-m", "benchmarks.least_server", bundle], None) as running:
        yield running


@contextmanager
def _serving(command: list[str], environment: dict[str, str] | None) -> Iterator[Service]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield Service(process.pid, _port(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_SECONDS)


def _port(process: "subprocess.Popen[str]") -> int:
    assert process.stderr is not None
    log = []
    for line in process.stderr:
        log.append(line)
        if "url=" in line:
            return int(line.split("url=")[1].split()[0].rpartition(":")[2])
    raise RuntimeError("the service did not start:\n" + "".join(log))


def processor_seconds(pid: int) -> float:
    """User and system time of a process and all its descendants, so far."""
    return sum(_own_seconds(process) for process in process_tree(pid))


def process_tree(pid: int) -> list[int]:
    """A process and all its descendants, itself first.

    By their parents: the kernel's list of children leaves some out while others come and go.
    """
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended since
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def proportional_memory(pid: int) -> int:
    """Bytes of a process and all its descendants (Pss): what is shared counts in parts."""
    return sum(map(own_memory, process_tree(pid)))


def open_descriptors(pids: list[int]) -> int:
    """How many these processes have open."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def running_threads(pids: list[int]) -> int:
    """How many these processes run."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def own_memory(pid: int) -> int:
    """The same of one process; none where it has ended since."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(rollup.split("\nPss:")[1].split()[0]) * 1024


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS
