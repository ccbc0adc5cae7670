"""A contender's processes: start, wait for answers, pause during others' turns, end."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.peers.contenders import Contender
from benchmarks.processes import free_port, process_tree

START_SECONDS = 90.0
POLL_SECONDS = 0.2
STOP_SECONDS = 40.0  # Triton gives its models 30
ANSWER_SECONDS = 60.0
LOG_LINES = 20


class Running:
    """A contender that answers on 127.0.0.1."""

    def __init__(self, contender: Contender, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.name = contender.name
        self.protocol = contender.protocol
        self.pid = process.pid
        self.port = port
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=ANSWER_SECONDS, trust_env=False
        )

    def label(self, image: bytes) -> str:
        """The class that it names; raises httpx.HTTPError where it does not answer with one."""
        asked = self.protocol
        answer = self._client.post(asked.path, **asked.sent(image)).raise_for_status()
        return asked.label(answer.json())

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let it work for a while: between turns it is held still, for some poll while idle."""
        self.signal(signal.SIGCONT)
        yield
        self.signal(signal.SIGSTOP)

    def close(self) -> None:
        """Close the connections, for which Triton would wait before it ends."""
        self._client.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        _signal(process_tree(self.pid), number)


@contextmanager
def running(contender: Contender, image: bytes, logs: Path) -> Iterator[Running]:
    """Start ``contender``, wait until it answers ``image``, and end it afterwards.

    Raises RuntimeError with the end of its log where it does not come to answer.
    """
    port = free_port()
    log = logs / f"{contender.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            contender.start(port),
            cwd=contender.folder,
            env={**os.environ, **contender.variables},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Running(contender, process, port)
    try:
        _wait(server, process, image, log)
        server.signal(signal.SIGSTOP)
        yield server
    finally:
        server.close()
        _end(process)


def _wait(server: Running, process: "subprocess.Popen[bytes]", image: bytes, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            server.label(image)
        except httpx.HTTPError:
            time.sleep(POLL_SECONDS)
        else:
            return
    said = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    raise RuntimeError(f"{server.name} does not answer:\n" + "\n".join(said))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, and make sure that none of its processes remains."""
    family = process_tree(process.pid) if process.poll() is None else []
    _signal(family, signal.SIGCONT)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _signal(family[1:], signal.SIGKILL)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
