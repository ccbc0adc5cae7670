"""The real service, started as a process, with its log in a file."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import process_tree

from greengrocer.serving.reloading import trial

START_SECONDS = 60.0
STOP_SECONDS = 60.0
POLL_SECONDS = 0.05
# Small, so that slow or large requests are soon refused, and the queue is full at times.
UPLOADS, DECODING = 64_000_000, 256_000_000  # bytes
LIMITS = (
    *("--upload-grace-seconds", "3", "--header-timeout-seconds", "3", "--max-image-bytes", "1MB"),
    *("--upload-memory-bytes", str(UPLOADS), "--decode-memory-bytes", str(DECODING)),
    *("--max-queue-seconds", "0.3", "--request-timeout-seconds", "30"),
)
IN_FLIGHT = UPLOADS + DECODING
USUAL = ("--access-log", "false", "--drain-delay-seconds", "0", "--port", "0")
URL = re.compile(r"http://[\d.]+:(\d+)")


@dataclass
class Service:
    """A running service."""

    process: "subprocess.Popen[bytes]"
    port: int
    control: Path
    log: Path
    workers: int  # HTTP processes; 0: there is one process

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self.process.pid

    def pids(self) -> list[int]:
        """Its processes, except those that run a trial of a bundle."""
        return [pid for pid in process_tree(self.pid) if trial.MODULE not in _command(pid)]

    def of_role(self, role: str) -> list[int]:
        """The processes of a role (engine or http) that run now."""
        return [pid for pid in self.pids()[1:] if role in _command(pid)]

    def whole(self) -> bool:
        """Whether all processes run."""
        return len(self.of_role("http")) == self.workers and len(self.of_role("engine")) == 1

    def stop(self) -> int:
        """Stop it; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def started(bundle: str, workers: int) -> Iterator[Service]:
    """Start it, and wait until it serves; killed at the end if it has not stopped by then."""
    with tempfile.TemporaryDirectory() as home:  # private: mode 0700
        control, log = Path(home, "control.sock"), Path(home, "log")
        flags = [*USUAL, *LIMITS, "--bundle", bundle, "--control-socket", str(control)]
        flags += ["--workers", str(workers)] if workers else []
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GREENGROCER_")}
        with log.open("wb") as written:
            process = subprocess.Popen(
                [sys.executable, "-m", "greengrocer", "serve", *flags],
                stderr=written,
                env=environment,
            )
        try:
            yield Service(process, _port(process, log, max(1, workers)), control, log, workers)
        finally:
            process.kill()
            process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path, serving: int) -> int:
    """The port in the log, once ``serving`` processes serve."""
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        lines = [line for line in log.read_text().splitlines() if "serving" in line]
        if len(lines) >= serving and (found := URL.search(lines[0])):
            return int(found[1])
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"the service did not start:\n{log.read_text()}")


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # it has ended since
        return []
