"""A real ``serve --workers``, and its processes."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.poison import environment as poison_environment
from support.poison.engine import HOME as POISON_HOME
from support.processes import children, command
from support.servers import Server, start_server
from support.waiting import until


@dataclass
class Workers:
    """A running supervisor."""

    server: Server
    count: int  # of HTTP processes

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.server.url

    @property
    def supervisor(self) -> int:
        """The supervisor's process id."""
        return self.server.process.pid

    def pids(self, role: str) -> list[int]:
        """The processes of a role (engine or http) that run now."""
        return [pid for pid in children(self.supervisor) if role in command(pid)]

    @property
    def engine(self) -> int:
        """The engine's process id, once there is one."""
        return until(lambda: self.pids("engine"))[0]

    @property
    def directory(self) -> Path:
        """The private directory."""
        words = until(lambda: command(self.engine))
        return Path(words[words.index("engine") + 1])

    def ready(self) -> bool:
        """What /readyz of some worker says, on a connection of its own."""
        return httpx.get(f"{self.url}/readyz", timeout=60).status_code == 200

    def until_started(self, replaced: int = 0) -> None:
        """Wait until all HTTP processes serve, after so many of them have been replaced."""
        self.server.until_logged(lambda: len(self.serving()) >= self.count + replaced)

    def serving(self) -> list[str]:
        """The log's lines of HTTP processes that have begun to serve."""
        return [line for line in self.server.log if "serving" in line]

    def lost(self, pid: int) -> bool:
        """Whether this process has gone and another of its role has come."""
        assert self.server.process.poll() is None, "".join(self.server.log)
        roles = [len(self.pids("engine")), len(self.pids("http"))]
        return pid not in children(self.supervisor) and roles == [1, self.count]

    def kill(self, pid: int) -> None:
        """End a process at once."""
        self.signal(pid, signal.SIGKILL)

    def signal(self, pid: int, signum: signal.Signals) -> None:
        """Send a signal to one of the processes."""
        os.kill(pid, signum)


StartWorkers = Callable[..., Workers]


def start_workers(
    count: int,
    *flags: str,
    poison: bool = False,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Workers:
    """Start ``serve --workers``; with ``poison``, some images crash or hang its fake engine."""
    own = dict(environment or {})
    if poison:
        own |= poison_environment()
        own |= {POISON_HOME: flags[flags.index("--bundle") + 1]}
    server = start_server("--workers", str(count), *flags, python=python, **own)
    workers = Workers(server, count)
    try:
        workers.until_started()
    except BaseException:
        workers.server.stop()
        raise
    return workers
