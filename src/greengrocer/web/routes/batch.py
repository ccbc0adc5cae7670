"""``POST /predict/batch``: the images of a form are classified while it arrives, one line each.

The form is read only as fast as its images are admitted, so a request of any length takes little
memory. Lines that the client has not read yet stay in memory and count as bytes in flight.
"""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from greengrocer.answer_json import answer_json, problem_json
from greengrocer.context import Context
from greengrocer.errors import (
    EmptyImage,
    MissingField,
    Overloaded,
    Refusal,
)
from greengrocer.ranking import AnswerOptions
from greengrocer.tracebacks import release_frames
from greengrocer.web.asked_model import AskedModel, asked_model
from greengrocer.web.body.form import Form
from greengrocer.web.body.upload import (
    FIELD,
    FORM_TYPE,
    FormImages,
    check_declared_length,
    read_content_type,
    receive_body,
    wrong_type,
)
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.openapi import BINARY
from greengrocer.web.problems import described, internal_error
from greengrocer.web.request_state import body_source, seen_path, state_of
from greengrocer.web.routes.classify import at_once, classify_admitted, classify_in_turn
from greengrocer.web.routes.parameters import OF_IMAGES, read_options, read_patience
from greengrocer.web.schemas import PredictionLine, ProblemLine
from greengrocer.web.service import Service

LINES = "application/x-ndjson"

log = structlog.get_logger("greengrocer.http")


async def predict_batch(service: Service, request: Request) -> Response:
    """Classify all images in ``request``.

    Raises a Refusal where the request, or the admission of its first image, is refused.
    """
    headers = dict(request.scope["headers"])
    model = asked_model(service, request)
    options = read_options(request, len(model.labels.classes))
    end = state_of(request.scope).arrived + read_patience(headers)
    kind, boundary = read_content_type(headers)
    if kind != FORM_TYPE:
        raise wrong_type(kind, f"with fields {FIELD!r}")
    check_declared_length(headers, service.upload_limits.request_bytes)
    batch = Batch(service, model, request, options, end)
    batch.begin(boundary)
    try:
        return Lines(await batch.line(), batch)
    except BaseException:
        await batch.stop()
        raise


class Lines(Response):
    """The lines of ``batch``, in order, each sent as soon as it is ready."""

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
                await state_of(scope).sent()
                line = await self.batch.line()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.batch.stop()


class Line(NamedTuple):
    """An answer, and the bytes in flight that it holds."""

    text: bytes
    held: int = 0


class Batch:
    """The images of one request: one task reads them, and one per image classifies it."""

    def __init__(
        self,
        service: Service,
        model: AskedModel,
        request: Request,
        options: AnswerOptions,
        end: float,
    ) -> None:
        state = state_of(request.scope)
        self.service = service
        self.model = model
        self._version = model.labels.model
        self.request = request
        self.options = options
        self.end = end  # deadline, in monotonic seconds
        self._id = state.request_id
        self._path = seen_path(request.scope)
        self._charge = state.charge
        self._places = asyncio.Semaphore(at_once(service))
        self._count = 0
        self._gone = False
        self._lines: asyncio.Queue[asyncio.Task[Line] | None] = asyncio.Queue()
        self._taken = Line(b"")  # the last one that was returned
        self._tasks: set[asyncio.Task[Any]] = set()
        self._contexts: set[Context] = set()
        self._held = ExitStack()
        self._receipt = self._held.enter_context(service.admission.reserve_bytes(model.key))
        state.on_disconnect(self._leave)

    def begin(self, boundary: str) -> None:
        """Begin to read the form; raises MalformedUpload."""
        images = FormImages(self.service.upload_limits)
        form = Form(boundary, self.service.upload_limits.images, images.take)
        self._start(self._read(form, images))

    async def line(self) -> bytes | None:
        """The next line, None after the last; the line before it is released.

        Raises a Refusal of the whole request while no line was returned.
        """
        self._receipt.shrink(self._taken.held)
        self._taken = Line(b"")
        task = await self._lines.get()
        if task is None:
            return None
        self._taken = await task
        return self._taken.text

    async def stop(self) -> None:
        """Cancel all tasks, and release the bytes in flight."""
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
        """Stop work: the client disconnected."""
        self._gone = True
        for context in self._contexts:
            context.cancel()

    async def _read(self, form: Form, images: FormImages) -> None:
        try:
            limits, take = self.service.upload_limits, partial(self._take, form, images)
            source, most = body_source(self.request), limits.request_bytes
            with self.service.stage("upload"):
                await receive_body(source, form.buffer, take, most, limits, None, self.end)
                form.close()
            if not self._count:
                self._end(MissingField(f"the form has no part {FIELD!r}: put the images there"))
        except Exception as error:
            self._end(error)
        self._lines.put_nowait(None)

    async def _take(self, form: Form, images: FormImages, count: int) -> None:
        """Read ``count`` more bytes of the form; images that are whole by then are answered."""
        await self._make_room(count)
        held = images.held
        try:
            form.read()
            form.drop()
        finally:  # the images before a fault in the form are answered
            whole = images.whole()
            kept = sum(len(one) for one in whole if isinstance(one, memoryview))
            self._receipt.shrink(count - (kept + images.held - held))
            for one in whole:
                await self._add(one)

    async def _make_room(self, amount: int) -> None:
        """Hold ``amount`` more bytes; after the first image, wait until they are free."""
        if not self._count:
            self._receipt.grow(amount)
            return
        with self._context(self.service.deadline) as context:
            await self._receipt.grow_in_turn(amount, context)

    @contextmanager
    def _context(self, seconds: float) -> Iterator[Context]:
        """A context for the block, which is cancelled when the client disconnects."""
        context = Context(self._id, seconds)
        self._contexts.add(context)
        if self._gone:
            context.cancel()
        try:
            yield context
        finally:
            self._contexts.discard(context)

    async def _add(self, image: memoryview | Refusal) -> None:
        """Start to classify an image, once fewer than ``at_once`` of this request are."""
        await self._places.acquire()
        self._lines.put_nowait(self._start(self._answer(self._count, image)))
        self._count += 1

    async def _answer(self, index: int, image: memoryview | Refusal) -> Line:
        try:
            text = await self._text(index, image)
            await self._make_room(len(text))
        except Overloaded as full:
            if not index:
                raise
            return Line(self._refused(index, full))
        else:
            return Line(text, len(text))
        finally:
            self._places.release()

    async def _text(self, index: int, image: memoryview | Refusal) -> bytes:
        if isinstance(image, Refusal):
            return self._refused(index, image)
        try:
            if not image:
                return self._refused(index, EmptyImage("the image is empty: 0 bytes"))
            return await self._classified(index, image)
        finally:
            self._receipt.shrink(len(image))

    async def _classified(self, index: int, image: memoryview) -> bytes:
        self.service.metrics.upload_bytes.observe(len(image))
        seconds = min(self.service.deadline, self.end - time.monotonic())
        try:
            with self._context(seconds) as context:
                work = self.service, self.model, image, context, self.options
                answer = await (
                    classify_in_turn(*work, self._charge) if index else classify_admitted(*work)
                )
        except Refusal as refusal:
            # If the first image is not admitted, the request is refused.
            if isinstance(refusal, Overloaded) and not index:
                raise
            return self._refused(index, refusal)
        except Exception as error:
            log.exception("failed", request_id=self._id, path=self._path, index=index)
            release_frames(error, logged=True)
            return _line(index, internal_error(self._id, self._path, self._version))
        return _line(index, answer_json(answer, self._id))

    def _end(self, error: Exception) -> None:
        """End the answer with why reading stopped: a last line, or a refusal of the request."""
        release_frames(error)

        async def last(index: int) -> Line:
            if index and isinstance(error, Refusal):
                return Line(self._refused(index, error))
            raise error

        self._lines.put_nowait(self._start(last(self._count)))

    def _refused(self, index: int, refusal: Refusal) -> bytes:
        self.service.metrics.rejections.labels(refusal.code).inc()
        return _line(index, problem_json(refusal, self._id, self._path, self._version))


def _line(index: int, body: dict[str, object]) -> bytes:
    return orjson.dumps({"index": index, **body}, option=orjson.OPT_APPEND_NEWLINE)


_BODY: dict[str, Any] = {
    "required": True,
    "description": "A form with one file per image. It is read only as fast as its images are "
    "classified: if the first is not admitted, the request is refused; the others wait to be "
    "admitted. The service's own deadline is that of each image, from when it is admitted; "
    "X-Deadline-Ms is that of all of them.",
    "content": {
        FORM_TYPE: {
            "schema": {
                "type": "object",
                "properties": {FIELD: {"type": "array", "items": BINARY, "minItems": 1}},
                "required": [FIELD],
            }
        }
    },
}
_LINES: dict[int | str, Any] = {
    200: {
        "description": "One JSON object per line, in order, each sent as soon as it is ready: what "
        "/predict would answer, or a problem with its status, and the index, counted from 0. If "
        "the form breaks off or is refused midway, the last line is a problem.",
        "content": {
            LINES: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/PredictionLine"},
                        {"$ref": "#/components/schemas/ProblemLine"},
                    ]
                }
            }
        },
    }
}
PREDICT_BATCH = Endpoint(
    "POST",
    "/predict/batch",
    predict_batch,
    "Classify many images",
    parameters=OF_IMAGES,
    body=_BODY,
    responses={**_LINES, **described(400, 408, 413, 415, 422, 429, 500, 503, 504)},
    schemas=(PredictionLine, ProblemLine),
    is_hot=True,
)
