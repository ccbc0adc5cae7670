"""Starts one process of the service by exec, and starts it again when it has died."""

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

QUICK_DEATHS = 5  # in a row, before a start has succeeded: then the supervisor gives up
FIRST_PAUSE = 0.2  # seconds to wait after the second such death; doubled after each
MISTAKE = 2  # the exit code for an operator's mistake, which the process has logged in one line
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
    slot: str  # of its metrics files, which the next process in the slot goes on with
    command: Sequence[str]
    sockets: Sequence[
        socket.socket
    ]  # inherited: their descriptors are the command's last arguments
    directory: Path
    environment: Mapping[str, str]


class ManagedProcess:
    """Keeps the process of ``spec`` running; ``receive`` is called with its messages."""

    def __init__(
        self, spec: ProcessSpec, receive: Callable[[SupervisorMessage, float], None]
    ) -> None:
        self.spec = spec
        self.receive = receive
        self.ready = False  # the running process has reported that its start succeeded
        self.deaths = 0  # in a row, of processes that never were ready
        self._process: Process | None = None
        self._channel: SupervisorChannel | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The id of the running process, or of the last one; None before the first."""
        return self._process.pid if self._process else None

    async def keep_running(self) -> None:
        """Start the process again after each death. Raises GaveUp if it cannot be started."""
        ever_ready = False
        while not self._stopping.is_set():
            try:
                code = await self._run()
            except OSError as error:  # too few descriptors, processes or memory
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
        """Send ``message`` to the process, if it runs."""
        if self._channel is not None:
            self._channel.send(message)

    def stop(self, signum: int) -> None:
        """Send ``signum`` to the process, and do not start it again.

        A process that is still starting is killed: it has nothing to finish, and the libraries
        that it loads may turn a signal into an error.
        """
        self._stopping.set()
        self.signal(signum if self.ready else signal.SIGKILL)

    def signal(self, signum: int) -> None:
        """Send ``signum`` to the running process."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signum)

    async def _run(self) -> int:
        """Start the process and wait for its end. Returns the exit code, or minus the signal."""
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
                    process_group=0,  # the supervisor passes a terminal's Ctrl-C on
                )
            except OSError:
                ours.close()
                raise
        if self._stopping.is_set():  # stop() was called while the process was being started
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
        log.critical(
            "giving up: the process dies at every start", role=self.spec.role, times=self.deaths
        )
        raise GaveUp(GAVE_UP)
