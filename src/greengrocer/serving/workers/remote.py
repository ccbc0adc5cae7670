"""The classifier of an HTTP process. It sends images to the engine process."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

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
from greengrocer.serving.classifier import Served
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
from greengrocer.serving.frames.stream import FrameStream, Link
from greengrocer.serving.workers.remote_rate_limiter import RemoteRateLimiter

FROM_ENGINE = (Answered, Begun, Described, Failed, Ping, Refused, RateLimitReply)
RETRY_SECONDS = 0.1  # between two attempts to connect while the socket's backlog is full
PING_SECONDS = 1.0  # in which an engine that does not hang answers, even a busy one
LATE_SECONDS = 1.0  # after an image's deadline, until a missing answer is reported
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
        future: "asyncio.Future[Served]",
    ) -> None:
        self.picture = picture
        self.context = context
        self.options = options
        self.future = future
        self.suspect = False  # the image was in flight when an engine crashed
        self.link: Link | None = None  # over which it was sent; None: no engine has it
        self.begun = False  # the engine works on this image and on nothing else

    def frame(self, number: int) -> Classify:
        """The frame that asks the engine for an answer."""
        return Classify.of(number, self.picture, self.options, self.context, self.suspect)

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
        self._labels: ModelLabels | None = None
        self._link: Link | None = None  # None while there is no engine
        self._described = False  # the engine has described its model: it is ready
        self._open = True
        self._calls: dict[int, PendingImage] = {}  # by number, while a caller waits
        self._late: set[int] = (
            set()
        )  # numbers of images that the engine left unanswered at their deadline
        self._numbers = count(1)
        self._first = asyncio.Event()
        self._pong = asyncio.Event()  # the ping has come back, or the engine has died
        self._checking: asyncio.Task[bool] | None = None
        self._connecting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, and wait until the engine has described its model."""
        self._connect()
        await self._first.wait()

    @property
    def labels(self) -> ModelLabels:
        """The labels of the engine's model, as last described."""
        assert self._labels is not None, "not started"
        return self._labels

    @property
    def healthy(self) -> bool:
        """Whether an engine is connected and ready."""
        return self._open and self._described

    async def check(self) -> bool:
        """Ping the engine. Returns whether it answered; if it did not, calls ``suspect_engine``."""
        if not self.healthy:
            return False
        if (
            self._checking is None or self._checking.done()
        ):  # one ping for all callers at the same time
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

    async def classify(self, picture: Picture, context: Context, options: AnswerOptions) -> Served:
        """The answer; raises a Refusal."""
        if not self._open:
            raise NotReady("the service is stopping")
        context.check()
        loop, number = asyncio.get_running_loop(), next(self._numbers)
        call = PendingImage(picture, context, options, loop.create_future())
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

    def close(self) -> None:
        """Close the connection."""
        self._open = self._described = False
        if self._connecting is not None:
            self._connecting.cancel()
        if self._link is not None:
            self._link.drop()

    def _expire(self, number: int) -> None:
        """Refuse an image whose deadline has passed; ``_look_after`` follows later."""
        call = self._calls.get(number)
        if call is None:
            return
        if self._described:
            late = DeadlineExceeded("the deadline passed before an answer was ready")
            self._withdraw(number, late)
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
        return self._described and self._link is not None and not self._link.full

    def _send(self, number: int, call: PendingImage) -> None:
        assert self._link is not None
        call.link = self._link
        self._link.send(call.frame(number))

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
        self._pong.set()
        self._late.clear()
        self.limiter.lost()
        for number, call in list(self._calls.items()):
            if call.begun:
                self._settle(number, UnreadableImage(CRASHES))
            elif call.link is not None:
                call.link, call.suspect = None, True
        if self._open:
            self._connect()

    def _found(self, labels: ModelLabels) -> None:
        """The engine has described its model: it is ready, or its model has changed."""
        assert self._link is not None, "the frame came over it"
        self._labels, self._described = labels, True
        self.limiter.found(self._link)
        self._first.set()
        self._send_waiting()

    def _receive(self, frame: Frame) -> None:
        match frame:
            case Described():
                self._found(frame.labels)
            case Begun():
                if frame.id in self._calls:
                    self._calls[frame.id].begun = True
            case Ping():
                self._pong.set()
            case RateLimitReply():
                self.limiter.receive(frame)
            case Answered() | Refused() | Failed():
                self._late.discard(frame.id)
                self._settle(frame.id, _result(frame))

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
