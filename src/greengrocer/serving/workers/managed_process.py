"""Starts one process of the service by exec, and starts it again when it has died."""

import asyncio
import math
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

FAILED_STARTS = 5  # in a row: then the supervisor gives up
STEADY_SECONDS = 2.0  # after READY: a process that dies sooner has died quickly
FIRST_PAUSE = 0.2  # seconds to wait after the second quick death in a row; doubled after each
LONGEST_PAUSE = 1.6
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
    # inherited: their descriptors are the command's last arguments
    sockets: Sequence[socket.socket]
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
        self.quick_deaths = 0  # in a row
        self.failed_starts = 0  # in a row: quick deaths that no image can have caused
        self._steady_at = math.inf  # in the event loop's time
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
            self._count_death(code)
            log.error("died", role=self.spec.role, code=code, quick_deaths=self.quick_deaths)
            if self.failed_starts >= FAILED_STARTS:
                self._give_up()
            if self.quick_deaths > 1:
                await self._pause(min(FIRST_PAUSE * 2 ** (self.quick_deaths - 2), LONGEST_PAUSE))

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
        self._steady_at = math.inf
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
            self._steady_at = asyncio.get_running_loop().time() + STEADY_SECONDS
        self.receive(message, value)

    def _count_death(self, code: int) -> None:
        """Count a death with this exit code, or minus this signal.

        A signal ends a process that was ready when an image crashes a decoder. However many such
        images clients send, the supervisor must not give up.
        """
        if asyncio.get_running_loop().time() >= self._steady_at:
            self.quick_deaths = self.failed_starts = 0
            return
        crashed = self.ready and code < 0
        self.quick_deaths += 1
        self.failed_starts = 0 if crashed else self.failed_starts + 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _give_up(self) -> NoReturn:
        log.critical(
            "giving up: the process dies at every start",
            role=self.spec.role,
            times=self.failed_starts,
        )
        raise GaveUp(GAVE_UP)
