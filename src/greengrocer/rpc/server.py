"""The gRPC server: grpc.aio on the event loop of the HTTP server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import grpc
import structlog
from grpc.aio import server as make_grpc_server
from grpc_reflection.v1alpha._async import ReflectionServicer
from starlette.types import ASGIApp

from greengrocer.errors import Overloaded
from greengrocer.rpc import call_limits, health, reflection
from greengrocer.rpc.app import ENDPOINTS
from greengrocer.rpc.call import Answering, Call
from greengrocer.rpc.call_context import CallContext
from greengrocer.rpc.call_limits import CallLimit
from greengrocer.rpc.endpoints import MODEL_INFER, SERVICE
from greengrocer.rpc.gate import Gate, Timeouts
from greengrocer.rpc.log_filter import filter_log
from greengrocer.rpc.places import Places
from greengrocer.rpc.turns import Turns
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.note_refused import note_refused
from greengrocer.web.service import Service
from greengrocer.web.wire.listener import url_of

IDENTITY = 1  # of the bits for the ways of compression: none
END_SECONDS = 1.0  # for a call to end whose time to be finished is over

Method: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Stream: TypeAlias = Callable[[CallContext], AsyncIterator[bytes]]

log = structlog.get_logger("greengrocer.server")


class RpcServer:
    """Serves ``app``, the application of calls, and what streams beside it.

    ``directory`` is for its socket.

    No more messages of ModelInfer are received at once than there is memory for uploads. Methods
    that need no API key have places and turns of their own, and so have those that stream.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        listener: socket.socket,
        directory: Path | None,
        timeouts: Timeouts,
    ) -> None:
        self._service = service
        self._listener = listener
        self._directory = directory
        self._timeouts = timeouts
        limits = service.upload_limits
        largest = limits.image_bytes + call_limits.MESSAGE_OVERHEAD
        at_once = max(1, service.admission.limits.upload_bytes // largest)
        self._options = (
            ("grpc.max_receive_message_length", largest),
            ("grpc.max_concurrent_streams", call_limits.CALLS_OF_CONNECTION),
            ("grpc.max_connection_idle_ms", round(timeouts.idle * 1000)),
            ("grpc.server_handshake_timeout_ms", round(timeouts.handshake * 1000)),
            # or more of a message is received than was asked for, up to 16 MB of each call
            ("grpc.http2.bdp_probe", 0),
            # a compressed message could be a bomb
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY),
        )
        seconds = min(call_limits.SHORT_SECONDS, limits.grace)
        short = Turns(call_limits.SHORT_AT_ONCE, seconds, short=True)
        probes = Turns(call_limits.PROBES_AT_ONCE, seconds, short=True)
        uploads = Turns(at_once, limits.grace)
        self._uploads = _kind("calls of ModelInfer", call_limits.MODEL_INFER, uploads)
        self._short = _kind("short calls", call_limits.SHORT_CALLS, short)
        self._probes = _kind("probes", call_limits.PROBES, probes)
        self._watches = _kind("watches", call_limits.WATCHES, probes)
        self._reflections = _kind("streams of reflection", call_limits.REFLECTIONS, short)
        self._watching = health.Watching(service)
        room = call_limits.unread_limit(service.admission.limits.upload_bytes)
        unread = Places("bytes of answers that are not read yet", *room)
        note = note_refused(
            service.metrics, service.access_log, service.log_addresses, "call refused"
        )
        self._answering = Answering(app, listener.getsockname()[:2], unread, note)
        self._gate: Gate | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self, received: Callable[[int], None]) -> None:
        """Listen, and call ``received`` with numbers of bytes that come.

        Raises UsageError where there is no directory for a socket.
        """
        filter_log()
        self._gate = Gate(self._listener, self._directory, self._timeouts, received)
        self._server = make_grpc_server(
            handlers=(_Handlers(self._handlers()),),
            options=self._options,
            maximum_concurrent_rpcs=call_limits.MOST_CALLS,
        )
        self._server.add_insecure_port(self._gate.address)
        await self._server.start()
        self._gate.start()
        log.info("grpc", address=url_of(self._listener).removeprefix("http://"))

    def busy(self) -> bool:
        """Whether a call is in flight; watches, which never end, are not counted."""
        return self._answering.busy()

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and finish those in flight within so many ``seconds``."""
        self._watching.end()
        if self._gate is None or self._server is None:
            return
        self._gate.close()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds + END_SECONDS
        ending = asyncio.ensure_future(self._server.stop(seconds + END_SECONDS))
        await self._answering.finish(seconds)
        await asyncio.wait([ending], timeout=end - loop.time())
        await self._gate.finish()  # gRPC waits without end for a client that does not read
        await ending
        await self._answering.finish(END_SECONDS)  # clients have their answers by now, or are lost

    def _handlers(self) -> dict[str, Method]:
        unary = {endpoint.path: self._unary(endpoint) for endpoint in ENDPOINTS}
        return unary | {
            health.WATCH.path: self._stream(health.WATCH.path, self._watch),
            reflection.PATH: self._stream(reflection.PATH, self._reflect),
        }

    def _unary(self, endpoint: Endpoint) -> Method:
        """What answers one message with one.

        To gRPC it is a stream of messages in: those are received when they are asked for.
        """
        kind = self._probes if endpoint.is_probe else self._short
        kind = self._uploads if endpoint.path == MODEL_INFER else kind

        async def answer(_: AsyncIterator[bytes], context: CallContext) -> bytes:
            async with self._answering.ending(context, endpoint.path):
                call = await self._begin(context, kind)
                return await self._answering.answer(endpoint.path, call)

        return grpc.stream_unary_rpc_method_handler(answer)

    def _stream(self, path: str, answers: Stream) -> Method:
        """What answers with a stream of messages."""

        async def answer(_: AsyncIterator[bytes], context: CallContext) -> AsyncIterator[bytes]:
            async with self._answering.ending(context, path):
                async for message in answers(context):
                    yield message

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _begin(
        self, context: CallContext, kind: "Kind", status: grpc.StatusCode | None = None
    ) -> Call:
        """A call that has its place; without one it is refused, by default as overload is."""
        try:
            kind.places.take(context)
        except Overloaded as refusal:
            await self._answering.refuse(context, refusal, status)
        return Call(context, kind.turns)

    async def _watch(self, context: CallContext) -> AsyncIterator[bytes]:
        call = await self._begin(context, self._watches, grpc.StatusCode.RESOURCE_EXHAUSTED)
        await self._answering.answer(health.WATCH.path, call)
        async for message in self._watching.watch(call):
            yield message

    async def _reflect(self, context: CallContext) -> AsyncIterator[bytes]:
        call = await self._begin(context, self._reflections)
        call.end = min(call.end, call.arrived + call_limits.REFLECTION_SECONDS)
        await self._answering.answer(reflection.PATH, call)
        servicer = ReflectionServicer((SERVICE, health.SERVICE, reflection.SERVICE))
        async for message in reflection.reflect(servicer, call):
            yield message


class Kind(NamedTuple):
    """Calls that share places, and turns to receive their messages."""

    places: Places
    turns: Turns


def _kind(what: str, limit: CallLimit, turns: Turns) -> Kind:
    return Kind(Places(what, *limit), turns)


class _Handlers(grpc.GenericRpcHandler):
    """What answers each method, by its path."""

    def __init__(self, handlers: dict[str, Method]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Method | None":
        """What answers a call; None for a method that is unknown."""
        return self._handlers.get(handler_call_details.method)
