"""One process of a service: starts it by exec, and starts it again when it has died."""

import asyncio
import signal
import socket
import subprocess
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from greengrocer.serving.workers.runtime_directory import forget_metrics_of_dead
from greengrocer.serving.workers.supervisor_channel import SupervisorChannel, SupervisorMessage

QUICK_DEATHS = 5  # in a row, before a start has succeeded: then starting again is in vain
FIRST_PAUSE = 0.2  # seconds after the second such death; doubled after each
MISTAKE = 2  # the exit code for a person's mistake, which the process has told of in one line
GAVE_UP = 1
NOT_STARTED = 127

log = structlog.get_logger("greengrocer.supervisor")


class GaveUp(Exception):
    """A process cannot be started; ``code`` is what to exit with."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class ProcessSpec:
    """How a process is started.

    The descriptor of its channel to the supervisor goes before those of ``sockets``.
    """

    role: str
    slot: str  # its metrics' place, which outlives it
    command: Sequence[str]
    sockets: Sequence[socket.socket]  # handed on: their numbers are the command's last arguments
    directory: Path
    environment: Mapping[str, str]


class ManagedProcess:
    """Keeps the process of ``spec`` running; ``receive`` is called with its messages."""

    def __init__(
        self, spec: ProcessSpec, receive: Callable[[SupervisorMessage, float], None]
    ) -> None:
        self.spec = spec
        self.receive = receive
        self.ready = False  # the process that runs has said that its start succeeded
        self.deaths = 0  # in a row, of processes that never were ready
        self._process: Process | None = None
        self._channel: SupervisorChannel | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The running process's."""
        return self._process.pid if self._process else None

    async def keep_running(self) -> None:
        """Until told to stop; raises GaveUp where it cannot be started."""
        ever_ready = False
        while not self._stopping.is_set():
            try:
                code = await self._run()
            except OSError as error:  # there are no descriptors, processes or memory left
                code = NOT_STARTED
                log.warning("cannot start", role=self.spec.role, reason=error.strerror)
            ever_ready |= self.ready
            if self._stopping.is_set():
                return
            if code == MISTAKE and not ever_ready:
                raise GaveUp(MISTAKE)
            self.deaths = 0 if self.ready else self.deaths + 1
            log.error("died", role=self.spec.role, code=code, quick_deaths=self.deaths)
            if self.deaths >= QUICK_DEATHS:
                self._give_up()
            if self.deaths > 1:
                await self._pause(FIRST_PAUSE * 2 ** (self.deaths - 2))

    def send(self, message: SupervisorMessage) -> None:
        """Say ``word`` to the process."""
        if self._channel is not None:
            self._channel.send(message)

    def stop(self, signum: int) -> None:
        """Start it no more, and send it ``signum``.

        One whose start has not succeeded has nothing to finish, and might load libraries that make
        an error of a signal.
        """
        self._stopping.set()
        self.signal(signum if self.ready else signal.SIGKILL)

    def signal(self, signum: int) -> None:
        """Send ``signum`` to what runs now."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signum)

    async def _run(self) -> int:
        """Start a process and wait for its end: the exit code, or minus the signal."""
        self.ready = False
        ours, theirs = socket.socketpair()
        with theirs:
            numbers = [end.fileno() for end in (theirs, *self.spec.sockets)]
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self.spec.command,
                    *map(str, numbers),
                    pass_fds=numbers,
                    stdin=subprocess.DEVNULL,
                    env=dict(self.spec.environment),
                    process_group=0,  # a terminal's Ctrl-C is ours to pass on
                )
            except OSError:
                ours.close()
                raise
        if self._stopping.is_set():  # it came while the process was being started
            self._process.kill()
        self._channel = await SupervisorChannel.over(ours, self._receive)
        log.info("started", role=self.spec.role, pid=self._process.pid)
        try:
            return await self._process.wait()
        finally:
            self._channel.close()
            forget_metrics_of_dead(self.spec.directory, self.spec.slot)

    def _receive(self, message: SupervisorMessage, value: float) -> None:
        if message is SupervisorMessage.READY:
            self.ready = True
        self.receive(message, value)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _give_up(self) -> NoReturn:
        log.critical("giving up: it dies at every start", role=self.spec.role, times=self.deaths)
        raise GaveUp(GAVE_UP)
