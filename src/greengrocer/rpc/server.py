"""The gRPC server: grpc.aio on the event loop of the HTTP server."""

import logging
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeAlias

import grpc
import structlog
from grpc.aio import server as make_grpc_server
from grpc_reflection.v1alpha._async import ReflectionServicer
from starlette.types import ASGIApp

from greengrocer.errors import Overloaded
from greengrocer.rpc import health, reflection
from greengrocer.rpc.app import ENDPOINTS
from greengrocer.rpc.call import CALL_IS_OVER, Answering, Call
from greengrocer.rpc.context import Context
from greengrocer.rpc.endpoints import MODEL_INFER, SERVICE
from greengrocer.rpc.places import Places
from greengrocer.rpc.turns import Turns
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.note_refused import note_refused
from greengrocer.web.service import Service

OVERHEAD = 1 << 16  # bytes of a message besides its images
SHORT_AT_ONCE, PROBES_AT_ONCE, SHORT_SECONDS = 4, 8, 2.0  # messages received
REFLECTION_SECONDS = 60.0  # that a stream of reflection may last
MOST_CALLS = 2000  # at once, those being refused among them; gRPC itself refuses further ones
IDENTITY = 1  # of the bits for the ways of compression: none

Method: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Stream: TypeAlias = Callable[[Context], AsyncIterator[bytes]]

log = structlog.get_logger("greengrocer.server")


# Of a client that has disconnected, and of metadata that are not UTF-8: that record has the value,
# which may be an API key.
DROPPED = frozenset({CALL_IS_OVER, "UnicodeDecodeError"})


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC is about something else than what is in DROPPED."""
    error = record.exc_info and record.exc_info[0]
    return not (error and error.__name__ in DROPPED)


logging.getLogger("grpc._cython.cygrpc").addFilter(_may_be_logged)


class RpcServer:
    """Serves ``app``, the application of calls, and what streams beside it.

    ``idle`` and ``handshake`` are seconds after which a connection is closed. Where ``several``
    processes listen on one port, the kernel shares the connections out among them.

    No more messages of ModelInfer are received at once than there is memory for uploads. Methods
    that need no API key have places and turns of their own, and so have those that stream.
    """

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        host: str,
        port: int,
        idle: float,
        handshake: float,
        several: bool = False,
    ) -> None:
        self._service = service
        self._address = f"{f'[{host}]' if ':' in host else host}:{port}"
        limits = service.upload_limits
        largest = limits.image_bytes + OVERHEAD
        at_once = max(1, service.admission.limits.upload_bytes // largest)
        self._options = (
            ("grpc.max_receive_message_length", largest),
            ("grpc.so_reuseport", int(several)),
            ("grpc.max_connection_idle_ms", round(idle * 1000)),
            ("grpc.server_handshake_timeout_ms", round(handshake * 1000)),
            # or more of a message is received than was asked for, up to 16 MB of each call
            ("grpc.http2.bdp_probe", 0),
            # a compressed message could be a bomb
            ("grpc.compression_enabled_algorithms_bitset", IDENTITY),
        )
        seconds = min(SHORT_SECONDS, limits.grace)
        short = Turns(SHORT_AT_ONCE, seconds, short=True)
        probes = Turns(PROBES_AT_ONCE, seconds, short=True)
        self._uploads = Kind(Places("calls of ModelInfer", 1000, 700), Turns(at_once, limits.grace))
        self._short = Kind(Places("short calls", 256, 192), short)
        self._probes = Kind(Places("probes", 256, 192), probes)
        self._watches = Kind(Places("watches", 64, 8), probes)
        self._reflections = Kind(Places("streams of reflection", 16, 4), short)
        self._watching = health.Watching(service)
        room = service.admission.limits.upload_bytes
        unread = Places("bytes of answers that are not read yet", room // 4, room // 8)
        note = note_refused(
            service.metrics, service.access_log, service.log_addresses, "call refused"
        )
        self._answering = Answering(app, (host, port), unread, note)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen; raises RuntimeError where the port is in use."""
        self._server = make_grpc_server(
            handlers=(_Handlers(self._handlers()),),
            options=self._options,
            maximum_concurrent_rpcs=MOST_CALLS,
        )
        self._server.add_insecure_port(self._address)
        await self._server.start()
        log.info("grpc", address=self._address)

    async def stop(self, seconds: float) -> None:
        """Accept no more calls, and finish those in flight within so many ``seconds``."""
        self._watching.end()
        if self._server is not None:
            await self._server.stop(seconds)
        await self._answering.finish()

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

        async def answer(_: AsyncIterator[bytes], context: Context) -> bytes:
            async with self._answering.ending(context, endpoint.path):
                call = await self._begin(context, kind)
                return await self._answering.answer(endpoint.path, call)

        return grpc.stream_unary_rpc_method_handler(answer)

    def _stream(self, path: str, answers: Stream) -> Method:
        """What answers with a stream of messages."""

        async def answer(_: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async with self._answering.ending(context, path):
                async for message in answers(context):
                    yield message

        return grpc.stream_stream_rpc_method_handler(answer)

    async def _begin(
        self, context: Context, kind: "Kind", status: grpc.StatusCode | None = None
    ) -> Call:
        """A call that has its place; without one it is refused, by default as overload is."""
        try:
            kind.places.take(context)
        except Overloaded as refusal:
            await self._answering.refuse(context, refusal, status)
        return Call(context, kind.turns)

    async def _watch(self, context: Context) -> AsyncIterator[bytes]:
        call = await self._begin(context, self._watches, grpc.StatusCode.RESOURCE_EXHAUSTED)
        await self._answering.answer(health.WATCH.path, call)
        async for message in self._watching.watch(call):
            yield message

    async def _reflect(self, context: Context) -> AsyncIterator[bytes]:
        call = await self._begin(context, self._reflections)
        call.end = min(call.end, call.arrived + REFLECTION_SECONDS)
        await self._answering.answer(reflection.PATH, call)
        servicer = ReflectionServicer((SERVICE, health.SERVICE, reflection.SERVICE))
        async for message in reflection.reflect(servicer, call):
            yield message


class Kind(NamedTuple):
    """Calls that share places, and turns to receive their messages."""

    places: Places
    turns: Turns


class _Handlers(grpc.GenericRpcHandler):
    """What answers each method, by its path."""

    def __init__(self, handlers: dict[str, Method]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Method | None":
        """What answers a call; None for a method that is unknown."""
        return self._handlers.get(handler_call_details.method)
