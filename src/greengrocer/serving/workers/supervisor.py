"""Starts one engine process and N HTTP processes, replaces those that die or hang, stops all."""

import asyncio
import math
import signal
import socket
from collections.abc import Iterable
from typing import Any

import structlog

from greengrocer.serving.signals import on_signal
from greengrocer.serving.workers.managed_process import GaveUp, ManagedProcess, ProcessSpec
from greengrocer.serving.workers.supervisor_channel import SupervisorMessage

# in which an engine that does not hang answers HEALTH, even one that gets little of the processor
HEALTH_SECONDS = 10
LOOK_SECONDS = 1.0  # at least, between two questions, whatever deadlines clients choose
PROMPT_SECONDS = 5.0  # to stop, for a process with nothing left to do, before it is killed

log = structlog.get_logger("greengrocer.supervisor")


class Supervisor:
    """Runs the processes until a signal. It holds the sockets, but no model."""

    def __init__(
        self,
        engine: ProcessSpec,
        workers: Iterable[ProcessSpec],
        listeners: Iterable[socket.socket],
        patience: float,
    ) -> None:
        self.listeners = listeners
        self.patience = patience  # seconds that HTTP processes may take to stop
        self.engine = ManagedProcess(engine, self._hear_engine)
        self.workers = [ManagedProcess(spec, self._hear_worker) for spec in workers]
        self._stop: asyncio.Future[signal.Signals] | None = None
        self._now = asyncio.Event()  # set by a second signal: stop without waiting
        self._check: asyncio.Task[None] | None = None
        self._suspected = False  # since the engine was last asked
        self._health: asyncio.Future[float] | None = None

    async def run(self) -> int:
        """The exit code: 0 after a signal, that of GaveUp if a process cannot be started."""
        loop = asyncio.get_running_loop()
        self._stop = loop.create_future()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._signalled, signum)
        running = [
            loop.create_task(process.keep_running()) for process in (self.engine, *self.workers)
        ]
        ends: list[asyncio.Future[Any]] = [self._stop, *running]
        try:
            with on_signal(signal.SIGHUP, self._reload):
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._stop.done():
                await self._wind_down(self._stop.result(), running)
            return self._code(running)
        finally:
            for process in (self.engine, *self.workers):
                process.stop(signal.SIGKILL)
            await asyncio.gather(*running, return_exceptions=True)

    def _signalled(self, signum: signal.Signals) -> None:
        assert self._stop is not None
        if self._stop.done():
            self._now.set()
        else:
            self._stop.set_result(signum)

    def _reload(self) -> None:
        if self.engine.ready:  # an engine that is starting reads the bundle anyway
            self.engine.signal(signal.SIGHUP)

    async def _wind_down(self, signum: signal.Signals, running: "list[asyncio.Task[None]]") -> None:
        """Stop the HTTP processes, which finish their requests, and then the engine."""
        log.info("stopping", signal=signum.name)
        for listener in self.listeners:
            listener.close()  # else clients would connect and get no answer
        for worker in self.workers:
            worker.stop(signum)
        if not await self._ended(running[1:], self.patience, self._now):
            for worker in self.workers:
                worker.stop(signum)  # their second signal: they stop at once
            await self._ended(running[1:], PROMPT_SECONDS)
        self.engine.stop(signal.SIGTERM)
        await self._ended(running[:1], PROMPT_SECONDS)

    async def _ended(
        self,
        tasks: "list[asyncio.Task[None]]",
        seconds: float,
        interruption: asyncio.Event | None = None,
    ) -> bool:
        """Wait for ``seconds`` at most, or until interrupted. Returns whether all tasks ended."""
        interrupted = asyncio.create_task((interruption or asyncio.Event()).wait())
        end = asyncio.get_running_loop().time() + seconds
        while not all(task.done() for task in tasks) and not interrupted.done():
            left = end - asyncio.get_running_loop().time()
            if left <= 0:
                break
            waited = [interrupted, *(task for task in tasks if not task.done())]
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        interrupted.cancel()
        return all(task.done() for task in tasks)

    @staticmethod
    def _code(running: "list[asyncio.Task[None]]") -> int:
        for task in running:
            error = task.exception() if task.done() else None
            if isinstance(error, GaveUp):
                return error.code
            if error is not None:
                raise error
        return 0

    def _hear_worker(self, message: SupervisorMessage, value: float) -> None:
        del value
        self._suspect(message)

    def _suspect(self, message: SupervisorMessage) -> None:
        if message is not SupervisorMessage.SUSPICION:
            return
        self._suspected = True
        if self._check is None or self._check.done():
            self._check = asyncio.get_running_loop().create_task(self._check_engine())

    def _hear_engine(self, message: SupervisorMessage, value: float) -> None:
        self._suspect(message)
        if (
            message is SupervisorMessage.HEALTHY
            and self._health is not None
            and not self._health.done()
        ):
            self._health.set_result(value)

    async def _check_engine(self) -> None:
        """Kill an engine that does not answer, or that works long after a deadline.

        It runs only after a SUSPICION, so that idle processes stay idle.
        """
        late = -math.inf
        while self.engine.ready and (self._suspected or late > -math.inf):
            self._suspected = False
            pid = self.engine.pid
            late = await self._ask_engine()
            if pid != self.engine.pid:  # it has died, and the next one was not asked
                late = -math.inf
            elif late >= 0:
                reason = "a thread works long after the deadline of its image"
                if late == math.inf:
                    reason = f"it did not answer within {HEALTH_SECONDS} s"
                log.error("the engine hangs: killing it", reason=reason)
                self.engine.signal(signal.SIGKILL)
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _ask_engine(self) -> float:
        """For how many seconds a thread of the engine has hung; inf if nothing answers.

        The wait is counted by this process, second by second: while the whole machine stands
        still, only one of them passes.
        """
        self._health = asyncio.get_running_loop().create_future()
        self.engine.send(SupervisorMessage.HEALTH)
        for _ in range(HEALTH_SECONDS):
            await asyncio.wait([self._health], timeout=1)
            if self._health.done():
                return self._health.result()
        return math.inf
