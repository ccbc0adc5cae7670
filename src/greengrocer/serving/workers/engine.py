"""The server of the engine process: it takes images on a Unix socket and sends answers."""

import asyncio
import math
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, cast

import structlog

from greengrocer.context import Context
from greengrocer.errors import Overloaded, Refusal
from greengrocer.imaging.decode import count_pixels
from greengrocer.serving.admission import Admission
from greengrocer.serving.classifier import OnAnswer
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
from greengrocer.serving.frames.shared_memory import NoDescriptor, NotShared, SharingSocket
from greengrocer.serving.frames.stream import FrameStream, Link, Malformed
from greengrocer.serving.memory import ENGINE_TRIMS_AFTER, Trim
from greengrocer.serving.memory_turns import in_turn
from greengrocer.serving.models import Models
from greengrocer.serving.served import NO_MEMORY_RETRY, Served, serve
from greengrocer.serving.workers.reader_writer_lock import ReaderWriterLock
from greengrocer.telemetry.metrics import Metrics
from greengrocer.tracebacks import release_frames

if TYPE_CHECKING:
    from greengrocer.serving.rate_limits import LocalRateLimiter

# seconds after its deadline in which a thread must have stopped, even one that gets little of the
# processor: clients choose deadlines
FAR_PAST = 10.0
SUSPICION_SECONDS = 0.1  # after that, until the engine asks to be looked at
ACCEPT_SECONDS = 0.1  # between two attempts to accept a connection
SLOW_PICTURES = 10.0  # or this many times the seconds of an average image

log = structlog.get_logger("greengrocer.engine")


class EngineServer:
    """Admits images for all HTTP processes, and classifies them in its own threads.

    Call ``announce`` after ``models`` has changed.
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
        self.limiter = limiter  # for all HTTP processes; None without rate limits
        # called with each image that was answered, after its answer
        self.answered: OnAnswer = lambda *_: None
        # called where a copy for a comparison hangs: no HTTP process waits for it
        self.suspect: Callable[[], None] = lambda: None
        self.lock = ReaderWriterLock()
        self.connections: set[EngineConnection] = set()
        self.trim = Trim(
            lambda: any(connection.working for connection in self.connections), ENGINE_TRIMS_AFTER
        )
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="classify")
        self._copies = 0  # images in threads, for a comparison
        self._working: set[Context] = set()  # of the images that threads work on
        self._accepting: asyncio.Task[None] | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept connections on ``listener``, which is bound and listening."""
        listener.setblocking(False)
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listener))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    accepted, _ = await loop.sock_accept(listener)
                except OSError as error:  # too few descriptors, until an image is answered
                    log.warning("cannot accept", reason=error.strerror)
                    await asyncio.sleep(ACCEPT_SECONDS)
                    continue
                end = SharingSocket(accepted.detach())
                await loop.connect_accepted_socket(partial(EngineConnection, self, end), end)

    def stop(self) -> None:
        """Close the server and its connections. Images in flight are not waited for."""
        if self._accepting is not None:
            self._accepting.cancel()
        for connection in list(self.connections):
            connection.drop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def announce(self) -> None:
        """Describe the models to all HTTP processes."""
        for connection in self.connections:
            connection.send(Described(self.models.catalogue))

    def hopeless(self) -> float:
        """For how many seconds a thread has hung: negative if none has yet, -inf if none works.

        A thread hangs when it still works long after its deadline. How long depends on how slow
        the engine is.
        """
        late = max((-context.remaining() for context in tuple(self._working)), default=-math.inf)
        if late <= 0:
            return -math.inf
        return late - self._far_past()

    def _far_past(self) -> float:
        """Seconds after its deadline in which a thread must have stopped."""
        return max(FAR_PAST, SLOW_PICTURES * self.admission.service_seconds)

    async def serve(self, frame: Classify, context: Context, begun: Callable[[], None]) -> Served:
        """The answer; raises a Refusal. A suspect is not admitted again: the last engine did it."""
        in_flight = self.metrics.pictures_in_flight.track_inprogress()
        if frame.suspect:
            with in_flight:
                async with self.lock.exclusive():
                    begun()
                    return await self._work(frame, context)
        count_pixels(frame.picture, self.models.current.limits)
        model = self.models.key_now(frame.model)
        with await self.admission.admit_in_turn(context, model), in_flight:
            async with self.lock.shared():
                served = await self._work(frame, context)
            self.admission.served(served.seconds, model)
        loop = asyncio.get_running_loop()
        loop.call_soon(self.answered, frame.picture, frame.model, served)
        return served

    async def run(self, work: Callable[[], Served], context: Context) -> Served:
        """Run ``work`` in a thread, but not beside a suspect; raises what it raises.

        An engine whose thread hangs in it is suspected as soon as that is certain.
        """
        self._copies += 1
        patience = context.remaining() + self._far_past() + SUSPICION_SECONDS
        clock = asyncio.get_running_loop().call_later(patience, self.suspect)
        try:
            async with self.lock.shared():
                return await self._in_thread(work, context)
        finally:
            clock.cancel()
            self._copies -= 1

    def idle(self) -> bool:
        """Whether a thread has nothing to do."""
        return self.admission.pictures + self._copies < self.threads

    async def _work(self, frame: Classify, context: Context) -> Served:
        context.begin("queue")
        asked = (self.models, frame.picture, context, frame.options, frame.model)
        work = partial(self._in_thread, partial(serve, *asked), context)
        return await in_turn(work, context)

    async def _in_thread(self, work: Callable[[], Served], context: Context) -> Served:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._noted, work, context)

    def _noted(self, work: Callable[[], Served], context: Context) -> Served:
        self._working.add(context)
        try:
            return work()
        finally:
            self._working.discard(context)


class EngineConnection(Link):
    """The engine's end of the connection with one HTTP process."""

    def __init__(self, server: EngineServer, end: SharingSocket) -> None:
        kinds = (Classify, Cancel, Ping) + (() if server.limiter is None else (RateLimitRequest,))
        stream = FrameStream(kinds, server.picture_bytes)
        super().__init__(stream, self._take, self._left)
        self.server = server
        self._end = end
        self._contexts: dict[int, Context] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Describe the models."""
        super().connection_made(transport)
        self.server.connections.add(self)
        self.send(Described(self.server.models.catalogue))

    @property
    def working(self) -> bool:
        """Whether an image of the HTTP process is not answered yet."""
        return bool(self._contexts)

    def data_received(self, data: bytes) -> None:
        """Handle the frames that are complete."""
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
                assert self.server.limiter is not None  # else the stream refuses the frame
                self.send(
                    RateLimitReply(frame.id, self.server.limiter.count(frame.address, frame.key))
                )
            case Classify():
                self._begin(frame)

    def _begin(self, frame: Classify) -> None:
        if frame.id in self._contexts:
            raise Malformed(f"the number {frame.id} is in use for another image")
        if isinstance(frame.image, int):
            try:
                frame.image = cast("bytes", self._shared(frame.image))
            except NoDescriptor as error:
                self._refuse_unread(frame, error)
                return
        context = self._contexts[frame.id] = Context(frame.request_id, frame.seconds)
        context.patient = frame.patient
        task = asyncio.get_running_loop().create_task(self._answer(frame, context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _shared(self, length: int) -> memoryview:
        """The image of ``length`` bytes whose descriptor has come.

        Raises Malformed, or NoDescriptor.
        """
        if length > self.server.picture_bytes:
            raise Malformed(f"a shared image of {length} bytes is not allowed")
        self.server.trim.received(length)
        try:
            return self._end.take(length)
        except NotShared as error:
            raise Malformed(f"a shared image cannot be read: {error}") from None

    def _refuse_unread(self, frame: Classify, error: NoDescriptor) -> None:
        log.warning("no room for an image", request_id=frame.request_id, reason=str(error))
        full = Overloaded(
            "the engine has too few file descriptors for this image: send it again later",
            NO_MEMORY_RETRY,
        )
        self.send(Refused.of(frame.id, full))

    async def _answer(self, frame: Classify, context: Context) -> None:
        answer: Answered | Refused | Failed
        try:
            served = await self.server.serve(frame, context, lambda: self.send(Begun(frame.id)))
            answer = Answered.of(frame.id, served.seconds, served.answer, context.marks)
        except Refusal as refusal:
            release_frames(refusal)
            answer = Refused.of(frame.id, refusal, context.marks)
        except Exception as error:
            log.exception("failed", request_id=context.request_id)
            release_frames(error, logged=True)
            answer = Failed(frame.id)
        finally:
            del self._contexts[frame.id]
        try:
            self.send(answer)
        except Exception:  # such as a text that is not UTF-8: its client must not wait
            log.exception("failed", request_id=context.request_id)
            self.send(Failed(frame.id))
