"""The engine process: images come in on a Unix socket, answers go out; the model stands here."""

import asyncio
import math
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import structlog

from greengrocer.context import Context
from greengrocer.errors import Refusal
from greengrocer.imaging.decode import count_pixels
from greengrocer.serving.admission import Admission
from greengrocer.serving.classifier import Served, serve
from greengrocer.serving.frames.frames import (
    Answered,
    Begun,
    Cancel,
    Classify,
    Described,
    Failed,
    Frame,
    Ping,
    RateLimitReply,
    RateLimitRequest,
    Refused,
)
from greengrocer.serving.frames.stream import FrameStream, Link, Malformed
from greengrocer.serving.memory import Trim
from greengrocer.serving.reloading.models import Models
from greengrocer.serving.workers.reader_writer_lock import ReaderWriterLock
from greengrocer.telemetry.metrics import Metrics
from greengrocer.tracebacks import release_frames

if TYPE_CHECKING:
    from greengrocer.serving.local_rate_limiter import LocalRateLimiter

FAR_PAST = 2.0  # seconds past its deadline, after which a thread must have noticed
SLOW_PICTURES = 10.0  # or as many times what an image takes

log = structlog.get_logger("greengrocer.engine")


class EngineServer:
    """Admits images for all HTTP processes, and works on them in threads of its own.

    ``announce`` must be called when ``models`` have changed.
    """

    def __init__(
        self,
        models: Models,
        admission: Admission,
        threads: int,
        picture_bytes: int,
        metrics: Metrics,
        limiter: "LocalRateLimiter | None" = None,
    ) -> None:
        self.models = models
        self.admission = admission
        self.picture_bytes = picture_bytes
        self.metrics = metrics
        self.limiter = limiter  # of all HTTP processes, where clients are limited
        self.lock = ReaderWriterLock()
        self.connections: set[EngineConnection] = set()
        self.trim = Trim(lambda: any(connection.working for connection in self.connections))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="classify")
        self._working: set[Context] = set()  # what threads have in their hands
        self._server: asyncio.AbstractServer | None = None

    async def start(self, listener: socket.socket) -> None:
        """Take connections on ``listener``, which is bound and listening."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: EngineConnection(self), sock=listener)

    def stop(self) -> None:
        """Take no more; what is in flight is not waited for."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.drop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def announce(self) -> None:
        """Tell all HTTP processes what the model is now."""
        for connection in self.connections:
            connection.send(Described(self.models.current.labels))

    def hopeless(self) -> float:
        """Seconds since some thread's work is hopeless, negative until it is; -inf without any.

        Work has ended soon after its deadline, unless the engine is as slow as that by nature.
        """
        late = max((-context.remaining() for context in tuple(self._working)), default=-math.inf)
        if late <= 0:
            return -math.inf
        return late - max(FAR_PAST, SLOW_PICTURES * self.admission.service_seconds)

    async def serve(self, frame: Classify, context: Context, begun: Callable[[], None]) -> Served:
        """The answer; raises a Refusal. A suspect was admitted once, by an engine that crashed."""
        in_flight = self.metrics.pictures_in_flight.track_inprogress()
        if frame.suspect:
            with in_flight:
                async with self.lock.exclusive():
                    begun()
                    return await self._work(frame, context)
        count_pixels(frame.picture, self.models.current.limits)
        with await self.admission.admit_in_turn(context), in_flight:
            async with self.lock.shared():
                served = await self._work(frame, context)
        self.admission.served(served.seconds)
        return served

    async def _work(self, frame: Classify, context: Context) -> Served:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._classify, frame, context)

    def _classify(self, frame: Classify, context: Context) -> Served:
        self._working.add(context)
        try:
            return serve(self.models, frame.picture, context, frame.ask)
        finally:
            self._working.discard(context)


class EngineConnection(Link):
    """One HTTP process, as the engine sees it."""

    def __init__(self, server: EngineServer) -> None:
        kinds = (Classify, Cancel, Ping) + (() if server.limiter is None else (RateLimitRequest,))
        stream = FrameStream(kinds, server.picture_bytes)
        super().__init__(stream, self._take, self._left)
        self.server = server
        self._contexts: dict[int, Context] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what the model is."""
        super().connection_made(transport)
        self.server.connections.add(self)
        self.send(Described(self.server.models.current.labels))

    @property
    def working(self) -> bool:
        """Whether an image of it is not answered yet."""
        return bool(self._contexts)

    def data_received(self, data: bytes) -> None:
        """Hand on the frames."""
        self.server.trim.received(len(data))
        super().data_received(data)

    def _left(self) -> None:
        self.server.connections.discard(self)
        for context in self._contexts.values():
            context.cancel()

    def _take(self, frame: Frame) -> None:
        match frame:
            case Cancel():
                if frame.id in self._contexts:
                    self._contexts[frame.id].cancel()
            case Ping():
                self.send(frame)
            case RateLimitRequest():
                assert self.server.limiter is not None  # or it is no frame of this stream
                self.send(
                    RateLimitReply(frame.id, self.server.limiter.count(frame.address, frame.key))
                )
            case Classify():
                if frame.id in self._contexts:
                    raise Malformed("an image's number came twice")
                context = self._contexts[frame.id] = Context(frame.request_id, frame.seconds)
                context.patient = frame.patient
                task = asyncio.get_running_loop().create_task(self._answer(frame, context))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _answer(self, frame: Classify, context: Context) -> None:
        answer: Answered | Refused | Failed
        try:
            served = await self.server.serve(frame, context, lambda: self.send(Begun(frame.id)))
            answer = Answered.of(frame.id, served.seconds, served.answer)
        except Refusal as refusal:
            release_frames(refusal)
            answer = Refused.of(frame.id, refusal)
        except Exception as error:
            log.exception("failed", request_id=context.request_id)
            release_frames(error, logged=True)
            answer = Failed(frame.id)
        finally:
            del self._contexts[frame.id]
        self.send(answer)
