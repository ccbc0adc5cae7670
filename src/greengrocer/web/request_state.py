"""The state that the layers of one request share: a typed object, attached to its ASGI scope."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from greengrocer.context import Context
from greengrocer.ranking import ModelId
from greengrocer.serving.admission import Admission
from greengrocer.serving.rate_limits import Charge
from greengrocer.web.receive_buffer import Source, source_of

Body = TypeVar("Body", bound=bytes | memoryview)

KEY = "greengrocer.request"  # of the scope
PATH_CHARACTERS = "/:@!$&'()*+,;="  # that a URI's path may have (RFC 3986, 3.3), beside letters
PREFIX = "greengrocer.prefix"  # of the scope: the path below which clients see the service


@dataclass(slots=True)
class RequestState:
    """One request, from its head to the last byte of its answer. Each field has one writer.

    The outermost layer creates and attaches it: the protocol of our own server, ``Answering`` for a
    gRPC call, ``Proxied`` behind Ray Serve, or ``Observe`` under any other ASGI server.

    =============================  ====================
    field                          written by
    =============================  ====================
    ``arrived``, ``drain``         the outermost layer
    ``source``                     the protocol
    ``request_id``                 ``Observe``
    ``model``                      ``asked_model``
    ``key_name``, ``charge``       ``Guard``
    ``refused``                    ``problem_response``
    ``held``                       ``hold_until_sent``
    ``disconnected``               ``disconnect``
    =============================  ====================
    """

    arrived: float  # when the request's head came, in monotonic seconds
    drain: Callable[[], Awaitable[None]] | None = None  # waits for the client to read
    source: Source | None = None  # receives the body into a buffer, past ASGI's messages
    request_id: str = ""
    model: ModelId | None = None  # that the request is for, once a version is chosen
    key_name: str | None = None  # of the API key that was sent
    charge: Charge | None = None  # counts one more image against the client's rate limit
    refused: str | None = None  # the code of a refusal
    held: ExitStack = field(default_factory=ExitStack)
    disconnected: bool = False
    _callbacks: list[Callable[[], None]] = field(default_factory=list)

    def context(self, seconds: float) -> Context:
        """The context of an image of the request; it ends when the client disconnects."""
        context = Context(self.request_id, seconds)
        self.on_disconnect(context.cancel)
        return context

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called as soon as the client disconnects; at once where it has."""
        if self.disconnected:
            callback()
        else:
            self._callbacks.append(callback)

    def disconnect(self) -> None:
        """The client disconnected: stop the work for it."""
        self.disconnected = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def hold_until_sent(self, admission: Admission, answer: Body, model: str) -> Body:
        """Count ``answer`` among the bytes in flight until the client has read it, and return it.

        It counts towards the limit of ``model``, the key of the model that gave it. Raises
        Overloaded where there is no room for it. Release the upload first: then an answer that is
        no larger than the upload always has room.
        """
        receipt = self.held.enter_context(admission.reserve_bytes(model))
        receipt.hold(len(answer))
        return answer

    async def sent(self) -> None:
        """Wait until the client has read all that was sent, or disconnected.

        Only our own server reports it. With another one it returns at once.
        """
        if self.drain is not None:
            await self.drain()


def attach(scope: Scope, state: RequestState) -> RequestState:
    """Attach ``state`` to a request's scope, and return it."""
    scope[KEY] = state
    return state


def state_of(scope: Scope) -> RequestState:
    """The state that is attached to a request's scope."""
    state: RequestState = scope[KEY]
    return state


def body_source(request: Request) -> Source:
    """What receives the body of ``request``: our own server, or ASGI's messages from any other."""
    return state_of(request.scope).source or source_of(request.receive)


def seen_path(scope: Scope) -> str:
    """A request's path as its client sees it, below a proxy's path, too; percent-encoded."""
    return prefix_of(scope) + quote(scope["path"], safe=PATH_CHARACTERS)


def prefix_of(scope: Scope) -> str:
    """The path below which the client sees the service; nothing where it is not known."""
    prefix: str = scope.get(PREFIX, "")
    return prefix


class DisconnectWatch:
    """Notices that the client disconnects, under a server that reports it only through ``receive``.

    While the body arrives, its reader receives that message. After the body, a task waits for it.
    """

    def __init__(self, receive: Receive, state: RequestState) -> None:
        self._receive = receive
        self._state = state
        self._task: asyncio.Task[Message] | None = None

    async def receive(self) -> Message:
        """The next message of the server's own ``receive``."""
        if self._task is not None:
            return await asyncio.shield(self._task)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._state.disconnect()
        elif not message.get("more_body", False):
            self._task = asyncio.create_task(self._watch())
        return message

    def stop(self) -> None:
        """End the watch: the request has its answer."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> Message:
        message = await self._receive()
        self._state.disconnect()
        return message
