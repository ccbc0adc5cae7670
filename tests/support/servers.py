"""Real servers, started as processes."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

import httpx

from support.processes import listening
from support.waiting import until

START_SECONDS = 180.0  # generous: only a hang takes as long
T = TypeVar("T")


@dataclass
class Server:
    """A running ``greengrocer serve`` and what it has logged so far."""

    process: subprocess.Popen[str]
    url: str
    log: list[str]
    reader: threading.Thread  # fills the log
    grown: threading.Condition  # and tells of each line

    def client(self) -> httpx.Client:
        """A client of this server."""
        return httpx.Client(base_url=self.url, timeout=60)

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.url.rsplit(":")[-1])

    def until_logged(self, ask: Callable[[], T]) -> T:
        """The first answer of ``ask``, a question about the log, that is true."""
        with self.grown:
            answer = self.grown.wait_for(ask, START_SECONDS)
        assert answer, "".join(self.log)
        return answer

    def until_serving(self, processes: int) -> None:
        """Wait until so many processes have said that they serve."""
        self.until_logged(lambda: sum("serving" in line for line in self.log) == processes)

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        """Wait until it has ended by itself or by a signal that was sent; its exit code."""
        code = self.process.wait(timeout=START_SECONDS)
        self.reader.join(START_SECONDS)
        return code


StartServer = Callable[..., Server]


def clean_environment() -> dict[str, str]:
    """This environment without settings of Greengrocer's."""
    return {k: v for k, v in os.environ.items() if not k.startswith("GREENGROCER_")}


def serve_command(bundle: Path) -> list[str]:
    """The command that serves ``bundle`` and logs only errors."""
    flags = ["--port", "0", "--bundle", str(bundle), "--log-level", "error"]
    return [sys.executable, "-m", "greengrocer", "serve", *flags]


def start_server(*flags: str, python: str = sys.executable, **environment: str) -> Server:
    """Start ``greengrocer serve`` on a free port and wait until it says where it serves.

    It stops without a delay, unless a flag says otherwise.
    """
    usual = ("--port", "0", "--drain-delay-seconds", "0")
    process = subprocess.Popen(
        [python, "-m", "greengrocer", "serve", *usual, *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | environment,
        bufsize=1,
    )
    return serving(process)


@contextmanager
def logging_to(log: IO[bytes] | int, *flags: str) -> Iterator[str]:
    """The URL of a ``greengrocer serve`` that logs to the file ``log``; it must end as ever."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "greengrocer",
            "serve",
            "--port",
            "0",
            "--drain-delay-seconds",
            "0",
            *flags,
        ],
        stderr=log,
        env=clean_environment(),
    )
    try:
        ((_, port),) = until(lambda: listening(process.pid), START_SECONDS)
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(START_SECONDS) == 0
    finally:
        process.kill()
        process.wait()


def serving(process: subprocess.Popen[str]) -> Server:
    """The server that ``process`` is, once its standard error says where it serves."""
    assert process.stderr is not None
    log: list[str] = []
    grown = threading.Condition()
    for line in process.stderr:
        log.append(line)
        if "serving" in line and (found := re.search(r"http://[\w.:\[\]]+", line)):
            url = found.group()
            reader = threading.Thread(target=_read, args=(process.stderr, log, grown), daemon=True)
            reader.start()
            return Server(process, url, log, reader, grown)
    raise AssertionError(f"the server did not start:\n{''.join(log)}")


def _read(lines: IO[str], log: list[str], grown: threading.Condition) -> None:
    with lines:
        for line in lines:
            with grown:
                log.append(line)
                grown.notify_all()
