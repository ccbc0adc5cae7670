"""The images of a form are classified while it arrives, and their answers come in order.

The form is read only as fast as its images are admitted, so a form of any length takes little
memory. Answers that the client has not read yet stay in memory and count as bytes in flight.
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

from greengrocer.answer_json import answer_json, problem_json
from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, EmptyImage, MissingField, Overloaded, Refusal
from greengrocer.ranking import AnswerOptions
from greengrocer.tracebacks import release_frames
from greengrocer.web.asked_model import AskedModel
from greengrocer.web.body.form import Form
from greengrocer.web.body.upload import FIELD, FormImages, receive_body
from greengrocer.web.problems import internal_error
from greengrocer.web.request_state import body_source, seen_path, state_of
from greengrocer.web.routes.classify import at_once, classify_admitted, classify_in_turn
from greengrocer.web.service import Service

log = structlog.get_logger("greengrocer.http")


class Encoded(NamedTuple):
    """An answer as a line of JSON, and the bytes in flight that it holds."""

    text: bytes
    held: int = 0


class BatchAnswers:
    """The answers to the images of one form: one task reads it, and one per image classifies it.

    ``end`` is the moment, in monotonic seconds, until which the client waits. Call ``stop`` at the
    end.
    """

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
        self.end = end
        self._id = state.request_id
        self._path = seen_path(request.scope)
        self._charge = state.charge
        self._places = asyncio.Semaphore(at_once(service))
        self._count = 0
        self._gone = False
        self._answers: asyncio.Queue[asyncio.Task[Encoded] | None] = asyncio.Queue()
        self._returned = Encoded(b"")  # by ``next``, the last time
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

    async def next(self) -> bytes | None:
        """The next answer, None after the last; the one before it is released.

        Raises a Refusal of the whole request while no answer was returned.
        """
        self._receipt.shrink(self._returned.held)
        self._returned = Encoded(b"")
        task = await self._answers.get()
        if task is None:
            return None
        self._returned = await task
        return self._returned.text

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
                self._end_with(
                    MissingField(f"the form has no part {FIELD!r}: put the images there")
                )
        except Exception as error:
            self._end_with(error)
        self._answers.put_nowait(None)

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
        """Hold ``amount`` more bytes; after the first image, wait until they are free.

        Raises Overloaded, DeadlineExceeded where the client waits no longer, or ClientDisconnected.
        """
        if not self._count:
            self._receipt.grow(amount)
            return
        client_first = self.end - time.monotonic() < self.service.deadline
        try:
            with self._context() as context:
                await self._receipt.grow_in_turn(amount, context)
        except Overloaded:
            if client_first:
                raise DeadlineExceeded(
                    "the deadline passed while the memory for uploads was full"
                ) from None
            raise

    @contextmanager
    def _context(self) -> Iterator[Context]:
        """A context for the block, which is cancelled when the client disconnects.

        Its deadline is the service's from now, or the client's if that is earlier.
        """
        context = Context(self._id, min(self.service.deadline, self.end - time.monotonic()))
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
        self._answers.put_nowait(self._start(self._answer(self._count, image)))
        self._count += 1

    async def _answer(self, index: int, image: memoryview | Refusal) -> Encoded:
        try:
            text = await self._text(index, image)
            await self._make_room(len(text))
        except Refusal as refusal:
            if isinstance(refusal, Overloaded) and not index:
                raise
            return Encoded(self._refused(index, refusal))
        else:
            return Encoded(text, len(text))
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
        try:
            with self._context() as context:
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
            return _encode(index, internal_error(self._id, self._path, self._version))
        return _encode(index, answer_json(answer, self._id))

    def _end_with(self, error: Exception) -> None:
        """End the answer with why reading stopped: a last line, or a refusal of the request."""
        release_frames(error)

        async def line(index: int) -> Encoded:
            if index and isinstance(error, Refusal):
                return Encoded(self._refused(index, error))
            raise error

        self._answers.put_nowait(self._start(line(self._count)))

    def _refused(self, index: int, refusal: Refusal) -> bytes:
        self.service.metrics.rejections.labels(refusal.code).inc()
        return _encode(index, problem_json(refusal, self._id, self._path, self._version))


def _encode(index: int, body: dict[str, object]) -> bytes:
    return orjson.dumps({"index": index, **body}, option=orjson.OPT_APPEND_NEWLINE)
