"""``POST /predict/batch``: a form's images are answered while it comes, a line each, in order.

The form is read only as fast as there are places for its images, so a request of any length
takes little memory. Its answers wait in memory for a client that sends all before it reads, and
count among the bytes in flight.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, NamedTuple

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from greengrocer.context import Context
from greengrocer.errors import (
    EmptyImage,
    MissingField,
    Overloaded,
    Refusal,
)
from greengrocer.ranking import Ask
from greengrocer.serving.rate_limits import Charge
from greengrocer.tracebacks import release_frames
from greengrocer.web.body.form import Form
from greengrocer.web.body.pictures import Pictures
from greengrocer.web.body.pieces import pieces
from greengrocer.web.body.upload import (
    FIELD,
    FORM_TYPE,
    check_declared_length,
    read_content_type,
    wrong_type,
)
from greengrocer.web.problems import internal_error, problem
from greengrocer.web.routes.classify import at_once, classify_admitted, classify_in_turn
from greengrocer.web.routes.parameters import read_ask, read_patience
from greengrocer.web.schemas import prediction_body
from greengrocer.web.service import Service
from greengrocer.web.untaken import taken

LINES = "application/x-ndjson"

log = structlog.get_logger("greengrocer.http")


async def predict_batch(service: Service, request: Request) -> Response:
    """Answer for all images in ``request``.

    Raises the Refusal that its first image's place, or what comes before it, is reason for.
    """
    headers = dict(request.scope["headers"])
    ask = read_ask(request, len(service.classifier.labels.classes))
    end = request.scope["state"]["arrived"] + read_patience(headers)
    kind, boundary = read_content_type(headers)
    if kind != FORM_TYPE:
        raise wrong_type(kind, f"with fields {FIELD!r}")
    check_declared_length(headers, service.upload_limits.request_bytes)
    batch = Batch(service, request, ask, end)
    batch.begin(boundary)
    try:
        return Lines(await batch.line(), batch)
    except BaseException:
        await batch.stop()
        raise


class Lines(Response):
    """The answers of ``batch``, from the ``first`` on, each sent as soon as it is its turn."""

    media_type = LINES

    def __init__(self, first: bytes | None, batch: "Batch") -> None:
        super().__init__()
        del self.headers["content-length"]
        self.first = first
        self.batch = batch

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        del receive
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(head)
            line = self.first
            while line is not None:
                await send({"type": "http.response.body", "body": line, "more_body": True})
                await taken(scope)
                line = await self.batch.line()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.batch.stop()


class Line(NamedTuple):
    """An answer, and the bytes in flight that are held for it."""

    text: bytes
    held: int = 0


class Batch:
    """One request's images: a task reads them, and one for each answers for it."""

    def __init__(self, service: Service, request: Request, ask: Ask, end: float) -> None:
        state = request.scope["state"]
        self.service = service
        self.request = request
        self.ask = ask
        self.end = end  # the moment until which the client waits, in monotonic seconds
        self._id: str = state["request_id"]
        self._path: str = request.scope["path"]
        self._charge: Charge | None = state.get("charge")
        self._places = asyncio.Semaphore(at_once(service))
        self._count = 0
        self._gone = False
        self._lines: asyncio.Queue[asyncio.Task[Line] | None] = asyncio.Queue()
        self._taken = Line(b"")  # the last one that was asked for
        self._tasks: set[asyncio.Task[Any]] = set()
        self._contexts: set[Context] = set()
        self._held = ExitStack()
        self._receipt = self._held.enter_context(service.admission.reserve_bytes())
        state["when_departed"].append(self._leave)

    def begin(self, boundary: str) -> None:
        """Begin to read the form; raises MalformedUpload."""
        pictures = Pictures(self.service.upload_limits)
        form = Form(boundary, self.service.upload_limits.pictures, pictures.take)
        self._start(self._read(form, pictures))

    async def line(self) -> bytes | None:
        """The next answer as a line, None behind the last.

        Whoever asks has done with the one before. Raises a Refusal of the whole request, where
        nothing has been answered yet.
        """
        self._receipt.shrink(self._taken.held)
        self._taken = Line(b"")
        task = await self._lines.get()
        if task is None:
            return None
        self._taken = await task
        return self._taken.text

    async def stop(self) -> None:
        """End what still goes on, and give back what is held."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, BaseException):
                release_frames(ended, logged=True)
        self._held.close()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _leave(self) -> None:
        """The client has gone: compute nothing more for it."""
        self._gone = True
        for context in self._contexts:
            context.cancel()

    async def _read(self, form: Form, pictures: Pictures) -> None:
        try:
            limits = self.service.upload_limits
            async for piece in pieces(self.request.receive, limits, self.end):
                await self._make_room(len(piece))
                held = pictures.held
                try:
                    form.feed(piece)
                finally:
                    whole = pictures.whole()
                    kept = sum(len(one) for one in whole if isinstance(one, bytes))
                    self._receipt.shrink(len(piece) - (kept + pictures.held - held))
                    for one in whole:
                        await self._add(one)
            form.close()
            if not self._count:
                self._end(MissingField(f"the form has no part {FIELD!r}: put the images there"))
        except Exception as error:
            self._end(error)
        self._lines.put_nowait(None)

    async def _make_room(self, amount: int) -> None:
        """Hold ``amount`` more bytes; once an image is taken, wait for them to be free."""
        if not self._count:
            self._receipt.grow(amount)
            return
        await self._receipt.grow_in_turn(amount, Context(self._id, self.service.deadline))

    async def _add(self, picture: bytes | Refusal) -> None:
        """Have an image answered, as soon as there is a place for it among this request's own."""
        await self._places.acquire()
        self._lines.put_nowait(self._start(self._answer(self._count, picture)))
        self._count += 1

    async def _answer(self, index: int, picture: bytes | Refusal) -> Line:
        try:
            text = await self._told(index, picture)
            await self._make_room(len(text))
        except Overloaded as full:
            if not index:
                raise
            return Line(self._refused(index, full))
        else:
            return Line(text, len(text))
        finally:
            self._places.release()

    async def _told(self, index: int, picture: bytes | Refusal) -> bytes:
        if isinstance(picture, Refusal):
            return self._refused(index, picture)
        try:
            if not picture:
                return self._refused(index, EmptyImage("the image is empty: 0 bytes"))
            return await self._classified(index, picture)
        finally:
            self._receipt.shrink(len(picture))

    async def _classified(self, index: int, picture: bytes) -> bytes:
        self.service.metrics.upload_bytes.observe(len(picture))
        seconds = min(self.service.deadline, self.end - time.monotonic())
        context = Context(self._id, seconds)
        self._contexts.add(context)
        if self._gone:
            context.cancel()
        work = self.service, picture, context, self.ask
        try:
            answer = await (
                classify_in_turn(*work, self._charge) if index else classify_admitted(*work)
            )
        except Refusal as refusal:
            # The first one stands for the request: without a place for it, nothing is let in.
            if isinstance(refusal, Overloaded) and not index:
                raise
            return self._refused(index, refusal)
        except Exception as error:
            log.exception("failed", request_id=self._id, path=self._path, index=index)
            release_frames(error, logged=True)
            return _line(index, internal_error(self._id, self._path))
        finally:
            self._contexts.discard(context)
        return _line(index, prediction_body(answer, self._id))

    def _end(self, error: Exception) -> None:
        """Tell why no more of the form is read, in a line behind others where a line can do it."""
        release_frames(error)

        async def last(index: int) -> Line:
            if index and isinstance(error, Refusal):
                return Line(self._refused(index, error))
            raise error

        self._lines.put_nowait(self._start(last(self._count)))

    def _refused(self, index: int, refusal: Refusal) -> bytes:
        self.service.metrics.rejections.labels(refusal.code).inc()
        return _line(index, problem(refusal, self._id, self._path))


def _line(index: int, body: dict[str, object]) -> bytes:
    return orjson.dumps({"index": index, **body}, option=orjson.OPT_APPEND_NEWLINE)
