"""A call as a request to the application: its metadata are headers, its status is a problem's."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NoReturn

import orjson
import structlog
from grpc import StatusCode
from grpc.aio import AbortError
from starlette.types import ASGIApp, Message, Scope

from greengrocer.answer_json import KINDS
from greengrocer.errors import Overloaded, Refusal
from greengrocer.rpc.call_context import CallContext
from greengrocer.rpc.places import Places, client_of
from greengrocer.rpc.statuses import status_of
from greengrocer.rpc.turns import Turns
from greengrocer.tracebacks import release_frames
from greengrocer.web.note_refused import NoteRefused
from greengrocer.web.observe import request_id_of
from greengrocer.web.problems import INTERNAL
from greengrocer.web.receive_buffer import disconnected
from greengrocer.web.request_state import RequestState, attach

KEY = "greengrocer.call"  # of the scope
BINARY = "-bin"  # at the end of the name of metadata that are no text
# The headers of an answer that are trailing metadata in gRPC, beside RETRY_AFTER.
TRAILING = frozenset({b"x-request-id", b"ratelimit", b"ratelimit-policy", b"traceresponse"})
RETRY_AFTER = b"retry-after"
REQUEST_ID = "x-request-id"
PUSHBACK = "grpc-retry-pushback-ms"  # what gRPC's own retry policy obeys
PROBLEM = "problem-code"
CALL_IS_OVER = "ExecuteBatchError"  # of gRPC: a message for a client that has gone

log = structlog.get_logger("greengrocer.grpc")


class Call:
    """One call: its message, which is received when it is asked for, and its deadline."""

    def __init__(self, context: CallContext, turns: Turns) -> None:
        self.context = context
        self.arrived = time.monotonic()
        remaining = context.time_remaining()
        self.end = math.inf if remaining is None else self.arrived + remaining
        self._turns = turns

    async def message(self, end: float = math.inf) -> bytes:
        """The message of the client, who waits until ``end``, in monotonic seconds.

        Until then it is in the client: no more of it than a window of HTTP/2 is received before.
        Raises Overloaded, SlowUpload, DeadlineExceeded or ClientDisconnected.
        """
        message = await self.next_message(end)
        if message is None:
            raise disconnected()
        return message

    async def next_message(self, end: float = math.inf) -> bytes | None:
        """The same; None where the client sends no more."""
        return await self._turns.receive(self._read, min(end, self.end))

    async def _read(self) -> bytes | None:
        message = await self.context.read()
        return message if isinstance(message, bytes) else None


def call_of(scope: Scope) -> Call:
    """The call that a request's scope is made of."""
    call: Call = scope[KEY]
    return call


class Answering:
    """Answers calls by ``app``, an ASGI application; ``server`` is its host and port.

    ``unread`` has places for the bytes of answers that clients have not read. gRPC has no time-out
    for those, so they may take no more of the memory. ``note`` counts and logs what is refused
    beside the application.
    """

    def __init__(
        self, app: ASGIApp, server: tuple[str, int], unread: Places, note: NoteRefused
    ) -> None:
        self._app = app
        self._server = server
        self._unread = unread
        self._note = note
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, path: str, call: Call) -> bytes:
        """The message that answers a call; a problem ends the call with its status.

        The application has a task of its own: a call that is cancelled is a client that has
        disconnected, as over HTTP. What the answer holds is held until gRPC has sent it.
        """
        context = call.context
        state, sent = RequestState(call.arrived), asyncio.Event()
        state.drain = _waiting(sent)
        context.add_done_callback(lambda _: sent.set())  # type: ignore[arg-type]
        reply: asyncio.Future[tuple[Message, bytes]] = asyncio.get_running_loop().create_future()
        scope = self._scope(path, call, state)
        task = asyncio.create_task(_run(self._app, scope, reply))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, reply))
        try:
            head, body = await reply
        except asyncio.CancelledError:
            state.disconnect()
            sent.set()
            raise
        if head["status"] != 200:
            await _abort(context, head, body, state.refused)
        context.set_trailing_metadata(tuple(_trailing(head)))
        try:
            self._unread.take(context, len(body))
        except Overloaded as refusal:
            await self.refuse(context, refusal)
        return body

    async def refuse(
        self, context: CallContext, refusal: Refusal, status: StatusCode | None = None
    ) -> NoReturn:
        """End a call that the application has not refused; by default with the problem's status.

        Where the application has answered, what it said in trailing metadata stays.
        """
        release_frames(refusal)
        trailing = [*_texts(context.trailing_metadata())]
        request_id = dict(trailing).get(REQUEST_ID)
        if request_id is None:
            request_id = request_id_of(_headers(context))
            trailing.append((REQUEST_ID, request_id))
        trailing.append((PROBLEM, refusal.code))
        if isinstance(refusal, Overloaded):
            trailing += _retry_after(refusal.retry_after)
        http_status = KINDS[type(refusal)].status
        self._note(http_status, refusal.code, request_id, client_of(context))
        status = status or status_of(http_status, refusal.code)
        await context.abort(status, str(refusal), tuple(trailing))

    @asynccontextmanager
    async def ending(self, context: CallContext, path: str) -> AsyncIterator[None]:
        """End a call with its problem where the block raises: gRPC would show the error."""
        try:
            yield
        except Refusal as refusal:
            await self.refuse(context, refusal)
        except AbortError:  # it has ended
            raise
        except Exception as error:
            if type(error).__name__ == CALL_IS_OVER:
                raise
            request_id = secrets.token_hex(16)
            log.exception("failed", request_id=request_id, path=path)
            release_frames(error, logged=True)
            code, _, detail = INTERNAL
            trailing = ((REQUEST_ID, request_id), (PROBLEM, code))
            await context.abort(StatusCode.INTERNAL, detail, trailing)

    def busy(self) -> bool:
        """Whether the application has calls that it has not ended with."""
        return bool(self._tasks)

    async def finish(self, seconds: float) -> None:
        """Have the application end with its calls: those that take longer are cancelled.

        As over HTTP, it answers these that the service stops.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._tasks and loop.time() < end:  # gRPC may still begin one that it has accepted
            await asyncio.wait(self._tasks, timeout=end - loop.time())
        for task in self._tasks:
            task.cancel()

    def _ended(
        self, reply: "asyncio.Future[tuple[Message, bytes]]", task: "asyncio.Task[None]"
    ) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()  # logged by Observe
        if not reply.done():
            reply.set_exception(error or disconnected())

    def _scope(self, path: str, call: Call, state: RequestState) -> Scope:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [*_headers(call.context)],
            "client": client_of(call.context),
            "server": self._server,
            KEY: call,
        }
        attach(scope, state)
        return scope


async def _run(app: ASGIApp, scope: Scope, reply: "asyncio.Future[tuple[Message, bytes]]") -> None:
    """Have the application answer; the head and the body of its answer come to ``reply``."""
    head: Message = {}

    async def send(message: Message) -> None:
        nonlocal head
        if message["type"] == "http.response.start":
            head = message
        elif not reply.done():
            reply.set_result((head, message.get("body", b"")))

    await app(scope, _receive, send)


async def _receive() -> Message:
    """The body of a request: a call has none, for its message is asked for."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _waiting(event: asyncio.Event) -> Callable[[], Any]:
    async def wait() -> None:
        await event.wait()

    return wait


def _headers(context: CallContext) -> Iterator[tuple[bytes, bytes]]:
    for name, value in _texts(context.invocation_metadata()):
        yield name.encode(), value.encode()  # gRPC has decoded UTF-8, or else Latin-1


def _texts(metadata: Any) -> Iterator[tuple[str, str]]:
    for name, value in metadata or ():
        if isinstance(value, str) and not name.endswith(BINARY):
            yield name, value


def _trailing(head: Message) -> Iterator[tuple[str, str]]:
    for name, value in head.get("headers", ()):
        if name == RETRY_AFTER:
            yield from _retry_after(int(value))
        elif name in TRAILING:
            yield name.decode("latin-1"), value.decode("latin-1")


def _retry_after(seconds: int) -> list[tuple[str, str]]:
    return [(RETRY_AFTER.decode(), str(seconds)), (PUSHBACK, str(seconds * 1000))]


async def _abort(context: CallContext, head: Message, body: bytes, code: str | None) -> NoReturn:
    """End a call with the status of a problem document."""
    trailing = [*_trailing(head), (PROBLEM, code or "")]
    detail = orjson.loads(body)["detail"]
    await context.abort(status_of(head["status"], code), detail, tuple(trailing))
