"""The classifier of an HTTP process. It sends images to the engine process."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from greengrocer.context import Context
from greengrocer.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    NotReady,
    Refusal,
    UnreadableImage,
)
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import AnswerOptions, ModelLabels
from greengrocer.serving.catalogue import Catalogue
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
    Refused,
)
from greengrocer.serving.frames.shared_memory import LEAST_SHARED, share
from greengrocer.serving.frames.stream import FrameStream, Link
from greengrocer.serving.served import Served
from greengrocer.serving.watchers import Watchers
from greengrocer.serving.workers.remote_rate_limiter import RemoteRateLimiter

FROM_ENGINE = (Answered, Begun, Described, Failed, Ping, Refused, RateLimitReply)
RETRY_SECONDS = 0.1  # between two attempts to connect while the socket's backlog is full
PING_SECONDS = 1.0  # in which an engine that does not hang answers, even a busy one
LATE_SECONDS = 1.0  # after an image's deadline, until a missing answer is reported
ABANDONED_BYTES = 16 << 20  # of images that nobody waits for and the engine has not answered
MOST_SHARED = 64  # images in shared memory: each takes a descriptor of the engine
CRASHES = "the image crashes the decoder, also when it is decoded alone: save it as a new JPEG"


class PendingImage:
    """An image that a caller waits for. If its engine dies, the next engine gets it.

    The caller counts the image's bytes, so the object is dropped as soon as no caller waits.
    """

    def __init__(
        self,
        picture: Picture,
        context: Context,
        options: AnswerOptions,
        model: str | None,
        future: "asyncio.Future[Served]",
    ) -> None:
        self.picture = picture
        self.context = context
        self.options = options
        self.model = model
        self.future = future
        self.suspect = False  # the image was in flight when an engine crashed
        self.link: Link | None = None  # over which it was sent; None: no engine has it
        self.begun = False  # the engine works on this image and on nothing else

    def send(self, number: int, link: Link, *, may_share: bool) -> int:
        """Ask the engine for an answer. Returns the bytes that went there in shared memory."""
        self.link = link
        asked = self.picture, self.options, self.context, self.suspect, self.model
        frame = partial(Classify.of, number, *asked)
        picture = self.picture
        if may_share and not isinstance(picture, np.ndarray) and len(picture) >= LEAST_SHARED:
            descriptor = share(picture)
            if descriptor is not None:
                try:
                    if link.send_with(frame(shared=True), descriptor):
                        return len(picture)
                finally:
                    os.close(descriptor)
        link.send(frame())
        return 0

    def settle(self, result: Served | Exception) -> None:
        """Give the caller its result, if it still waits."""
        if self.future.done():
            return
        if isinstance(result, Served):
            self.future.set_result(result)
        else:
            self.future.set_exception(result)


class RemoteClassifier:
    """Sends images to the engine at the Unix socket ``path``, many at once on one connection.

    The socket outlives an engine that crashes. Images that were in flight are sent to the next
    engine, as suspects. Images that arrive in between wait for it. ``suspect_engine`` is called
    when the engine leaves a ping unanswered, or an image long after its deadline.
    """

    def __init__(self, path: Path, suspect_engine: Callable[[], None]) -> None:
        self.path = path
        self.suspect_engine = suspect_engine
        self.limiter = RemoteRateLimiter()  # uses the same connection
        self.watchers = Watchers()
        self._catalogue: Catalogue | None = None
        self._link: Link | None = None  # None while there is no engine
        self._described = False  # the engine has described its models: it is ready
        self._open = True
        self._calls: dict[int, PendingImage] = {}  # by number, while a caller waits
        # Numbers of images that the engine left unanswered at their deadline.
        self._late: set[int] = set()
        # Bytes in shared memory of each image that the engine has not answered. Those that a caller
        # waits for are counted as uploads, the others here.
        self._shared: dict[int, int] = {}
        self._numbers = count(1)
        self._first = asyncio.Event()
        self._pong = asyncio.Event()  # the ping has come back, or the engine has died
        self._checking: asyncio.Task[bool] | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and wait until the engine has described its models."""
        self._connect()
        await self._first.wait()

    @property
    def catalogue(self) -> Catalogue:
        """The engine's models, as last described."""
        assert self._catalogue is not None, "not started"
        return self._catalogue

    @property
    def labels(self) -> ModelLabels:
        """The labels of the engine's default model."""
        return self.catalogue.first.labels

    @property
    def healthy(self) -> bool:
        """Whether an engine is connected and ready."""
        return self._open and self._described

    @property
    def hung(self) -> bool:
        """False: the supervisor replaces an engine that hangs."""
        return False

    async def check(self) -> bool:
        """Ping the engine. Returns whether it answered; if it did not, calls ``suspect_engine``."""
        if not self.healthy:
            return False
        # one ping for all callers at the same time
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._ping())
        return await asyncio.shield(self._checking)

    async def _ping(self) -> bool:
        if self._link is None or not self.healthy:  # the engine died before the task started
            return False
        self._pong.clear()
        self._link.send(Ping())
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._pong.wait()
        except TimeoutError:
            self.suspect_engine()
            return False
        return self.healthy

    async def classify(
        self,
        picture: Picture,
        context: Context,
        options: AnswerOptions,
        model: str | None = None,
    ) -> Served:
        """The answer; raises a Refusal."""
        if not self._open:
            raise NotReady("the service is stopping")
        context.check()
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        call = PendingImage(picture, context, options, model, loop.create_future())
        self._calls[number] = call
        context.on_cancel = partial(
            self._withdraw, number, ClientDisconnected("the client disconnected")
        )
        clock = loop.call_later(max(0.0, context.remaining()), self._expire, number)
        try:
            if self._has_room():  # else _send_waiting sends it later
                self._send(number, call)
            return await call.future
        except asyncio.CancelledError:
            context.cancel()
            raise
        finally:
            clock.cancel()
            context.on_cancel = None
            self._calls.pop(number, None)
            del call  # or its future's exception would hold this frame, and this frame it

    def close(self) -> bool:
        """Close the connection."""
        self._open = self._described = False
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.drop()
        return True

    def _expire(self, number: int) -> None:
        """Refuse an image whose deadline has passed; ``_look_after`` follows later."""
        call = self._calls.get(number)
        if call is None:
            return
        if self._described:
            self._withdraw(number, DeadlineExceeded())
            if call.link is not None:  # an image that was not sent gets no answer
                self._late.add(number)
                asyncio.get_running_loop().call_later(LATE_SECONDS, self._look_after, number)
        else:
            self._withdraw(number, NotReady("the engine is being replaced: ask again"))
        call.context.cancel()

    def _look_after(self, number: int) -> None:
        """Report the engine if it has still not answered an image whose deadline passed."""
        if number in self._late:
            self._late.remove(number)
            self.suspect_engine()

    def _withdraw(self, number: int, reason: Refusal) -> None:
        """Cancel an image at the engine, and refuse it to its caller."""
        call = self._calls.get(number)
        if call is not None and call.link is not None:
            call.link.send(Cancel(number))
        self._settle(number, reason)

    def _has_room(self) -> bool:
        if not self._described or self._link is None or self._link.full:
            return False
        abandoned = (size for number, size in self._shared.items() if number not in self._calls)
        return sum(abandoned) <= ABANDONED_BYTES

    def _send(self, number: int, call: PendingImage) -> None:
        assert self._link is not None
        if shared := call.send(number, self._link, may_share=len(self._shared) < MOST_SHARED):
            self._shared[number] = shared

    def _send_waiting(self) -> None:
        """Send the images that no engine has, until the link is full."""
        for number, call in list(self._calls.items()):
            if not self._has_room():
                return
            if call.link is None and not call.future.done():
                self._send(number, call)

    def _connect(self) -> None:
        self._connecting = asyncio.get_running_loop().create_task(self._connected())

    async def _connected(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            link = self._link = Link(
                FrameStream(FROM_ENGINE), self._receive, self._lost, self._send_waiting
            )
            try:
                await loop.create_unix_connection(lambda link=link: link, str(self.path))  # type: ignore[misc]
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _lost(self) -> None:
        """The engine has died: the next one gets its images, except one that crashed it alone."""
        self._link, self._described = None, False
        self.watchers.wake()
        self._pong.set()
        self._late.clear()
        self._shared.clear()
        self.limiter.lost()
        for number, call in list(self._calls.items()):
            if call.begun:
                crash = UnreadableImage(CRASHES)
                crash.of_model = True  # it may have been the engine
                self._settle(number, crash)
            elif call.link is not None:
                call.link, call.suspect = None, True
        if self._open:
            self._connect()

    def _found(self, catalogue: Catalogue) -> None:
        """The engine has described its models: it is ready, or they have changed."""
        assert self._link is not None, "the frame came over it"
        self._catalogue, self._described = catalogue, True
        self.limiter.found(self._link)
        self._first.set()
        self.watchers.wake()
        self._send_waiting()

    def _receive(self, frame: Frame) -> None:
        match frame:
            case Described():
                self._found(frame.catalogue)
            case Begun():
                if frame.id in self._calls:
                    self._calls[frame.id].begun = True
            case Ping():
                self._pong.set()
            case RateLimitReply():
                self.limiter.receive(frame)
            case Answered() | Refused() | Failed():
                self._note_stages(frame)
                self._late.discard(frame.id)
                self._settle(frame.id, _result(frame))
                if self._shared.pop(frame.id, 0):
                    self._send_waiting()

    def _note_stages(self, frame: Answered | Refused | Failed) -> None:
        call = self._calls.get(frame.id)
        if call is not None and not isinstance(frame, Failed):
            call.context.marks.extend(frame.marks)

    def _settle(self, number: int, result: Served | Exception) -> None:
        call = self._calls.pop(number, None)
        if call is not None:
            call.settle(result)


def _result(frame: Answered | Refused | Failed) -> Served | Exception:
    match frame:
        case Answered():
            return Served(frame.answer, frame.seconds)
        case Refused():
            return frame.refusal
        case Failed():
            return RuntimeError("the engine process failed: see its log")
