"""gRPC in tests: a service in this process that answers it, and a client without stubs."""

import asyncio
import re
import signal
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from greengrocer.rpc.app import create_rpc_app
from greengrocer.rpc.endpoints import SERVICE
from greengrocer.rpc.gate import Timeouts
from greengrocer.rpc.messages.open_inference_pb2 import (
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from greengrocer.rpc.server import RpcServer
from greengrocer.rpc.settled import PREFACE
from greengrocer.web.app import create_app
from greengrocer.web.service import Service
from greengrocer.web.wire.listener import bind, url_of
from greengrocer.web.wire.protocol import WireLimits
from greengrocer.web.wire.server import make_server
from support.live import Live
from support.servers import Server
from support.tensors import packed
from support.waiting import SECONDS

DATA, HEADERS, SETTINGS, PING, WINDOW = 0, 1, 4, 6, 8  # of HTTP/2: kinds of frames, and their flags
ACKNOWLEDGEMENT, END_STREAM, END_HEADERS = 1, 1, 4
M = TypeVar("M", bound=Message)
Metadata = Sequence[tuple[str, str]]
InputTensor = ModelInferRequest.InferInputTensor
OutputTensor = ModelInferRequest.InferRequestedOutputTensor


class Ended(NamedTuple):
    """How a call ended."""

    code: grpc.StatusCode
    detail: str
    trailing: dict[str, str]


class RpcClient:
    """A client of the service at ``address``, with a connection of its own."""

    def __init__(self, address: str) -> None:
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        )
        self.channel = grpc.insecure_channel(address, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.channel.close()

    def call(
        self,
        method: str,
        request: Message | bytes,
        response: type[M],
        metadata: Metadata = (),
        service: str = SERVICE,
        timeout: float = SECONDS,
    ) -> M:
        """The response of a method; raises grpc.RpcError."""
        sent = request if isinstance(request, bytes) else request.SerializeToString()
        ask: Any = self.channel.unary_unary(f"/{service}/{method}")
        answer: bytes = ask(sent, metadata=tuple(metadata), timeout=timeout)
        return response.FromString(answer)

    def infer(
        self, request: ModelInferRequest | bytes, metadata: Metadata = (), timeout: float = SECONDS
    ) -> ModelInferResponse:
        """The answer to a request; raises grpc.RpcError."""
        return self.call("ModelInfer", request, ModelInferResponse, metadata, timeout=timeout)

    def begin(self, request: ModelInferRequest | bytes, timeout: float = SECONDS) -> Any:
        """The same, while the caller does something else."""
        ask: Any = self.channel.unary_unary(f"/{SERVICE}/ModelInfer")
        sent = request if isinstance(request, bytes) else request.SerializeToString()
        return ask.future(sent, timeout=timeout)

    def stream(self, messages: Iterator[bytes]) -> Any:
        """The answer to a request that is sent when its message comes."""
        ask: Any = self.channel.stream_unary(f"/{SERVICE}/ModelInfer")
        return ask.future(messages)

    def refused(
        self, request: ModelInferRequest | bytes, metadata: Metadata = (), timeout: float = SECONDS
    ) -> Ended:
        """How a request ended that must be refused."""
        try:
            answer = self.infer(request, metadata, timeout)
        except grpc.RpcError as error:
            return ended(error)
        raise AssertionError(f"it was answered: {answer}")

    def health(self, name: str = "") -> int:
        """The status of a service."""
        asked = HealthCheckRequest(service=name)
        answer = self.call("Check", asked, HealthCheckResponse, service="grpc.health.v1.Health")
        return answer.status


def ended(error: Any) -> Ended:
    """How the call of a ``grpc.RpcError`` ended."""
    trailing = dict(error.trailing_metadata() or ())
    return Ended(error.code(), error.details(), trailing)


def files(
    *contents: bytes, model: str = "greys", raw: bool = True, **more: Any
) -> ModelInferRequest:
    """A request with images that are files."""
    shape = [len(contents)]
    if raw:
        given = InputTensor(name="image", datatype="BYTES", shape=shape)
        more = {"raw_input_contents": [packed(*contents)], **more}
    else:
        listed = InferTensorContents(bytes_contents=contents)
        given = InputTensor(name="image", datatype="BYTES", shape=shape, contents=listed)
    return ModelInferRequest(model_name=model, inputs=[given], **more)


def pixels(shape: Sequence[int], values: bytes, raw: bool = True, **more: Any) -> ModelInferRequest:
    """A request with images that are arrays."""
    contents = None if raw else InferTensorContents(uint_contents=values)
    given = InputTensor(name="pixels", datatype="UINT8", shape=shape, contents=contents)
    behind = {"raw_input_contents": [values]} if raw else {}
    return ModelInferRequest(model_name="greys", inputs=[given], **behind | more)


@dataclass
class LiveRpc(Live):
    """A service that is being served over HTTP and gRPC."""

    address: str

    def rpc(self) -> RpcClient:
        """A client of its gRPC."""
        return RpcClient(self.address)


@contextmanager
def live_rpc(service: Service, drain: float = 30) -> Iterator[LiveRpc]:
    """Serve ``service`` over both from a thread; stopped, and its threads gone, at the end."""
    listener = bind("127.0.0.1", 0)
    listener.listen()
    started = threading.Event()
    with bind("127.0.0.1", 0) as rpc_listener:
        address = url_of(rpc_listener).removeprefix("http://")

        @asynccontextmanager
        async def beside() -> AsyncIterator[None]:
            asyncio.get_running_loop().call_soon(started.set)  # once the server is ready
            yield

        def serve() -> None:
            app = create_rpc_app(service)
            other = RpcServer(app, service, rpc_listener, None, Timeouts(60, 10, 30))
            server = make_server(
                create_app(service),
                [listener],
                service.readiness,
                15,
                drain,
                WireLimits(),
                beside=beside(),
                other=other,
            )
            servers.append(server)
            server.run([listener])

        servers: list[Any] = []
        thread = threading.Thread(target=serve)
        thread.start()
        assert started.wait(SECONDS)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield LiveRpc(service, url, address)
        finally:
            servers[0].handle_exit(signal.SIGTERM, None)
            thread.join(SECONDS)
            assert not thread.is_alive(), "the server did not stop"
            service.classifier.close()


def address_of(server: Server, processes: int = 1) -> str:
    """The address at which each of so many processes has said that it answers gRPC."""

    def told() -> list[str]:
        lines = [line for line in server.log if " grpc " in line]
        found = [re.search(r"address=(\S+)", line) for line in lines]
        return [match[1] for match in found if match]

    server.until_logged(lambda: len(told()) >= processes)
    (one,) = set(told())
    return one


def raw_call(
    address: str, path: str, metadata: Sequence[tuple[bytes, bytes]], message: Message
) -> dict[bytes, bytes]:
    """How a call ends whose ``metadata`` gRPC's own client would refuse to send.

    Some of its headers and trailers, and its ``message``; that of a watch, which goes on, ends it.
    """
    host, _, port = address.rpartition(":")
    first = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path.encode())]
    more = [(b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc")]
    head = headers(*first, *more, *metadata)
    body = message.SerializeToString()
    data = b"\0" + struct.pack(">I", len(body)) + body
    with socket.create_connection((host, int(port)), SECONDS) as connection:
        connection.sendall(
            PREFACE
            + frame(SETTINGS)
            + frame(SETTINGS, ACKNOWLEDGEMENT)
            + frame(HEADERS, END_HEADERS, 1, head)
            + frame(DATA, END_STREAM, 1, data)
        )
        found, answer, stream = b"", b"", connection.makefile("rb")
        while True:
            start = stream.read(9)
            length, kind, flags = int.from_bytes(start[:3]), start[3], start[4]
            content = stream.read(length)
            if kind == HEADERS:
                found += content
            elif kind == DATA:
                answer += content
            if kind in (HEADERS, DATA) and (
                flags & END_STREAM or (kind == DATA and b"Watch" in head)
            ):
                break
    names = (b"grpc-status", b"grpc-message", b"problem-code", b"x-request-id")
    return {name: _literal(found, name) for name in names if name in found} | {
        b"message": answer[5:]
    }


def headers(*named: tuple[bytes, bytes]) -> bytes:
    """A block of headers, whose names and values have less than 127 bytes each."""
    return b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in named
    )


def frame(kind: int, flags: int = 0, number: int = 0, content: bytes = b"") -> bytes:
    """A frame of HTTP/2, of the stream ``number``."""
    length = len(content).to_bytes(3)
    return length + bytes([kind, flags]) + number.to_bytes(4) + content


def _literal(headers: bytes, name: bytes) -> bytes:
    at = headers.index(name) + len(name)
    return headers[at + 1 : at + 1 + headers[at]]
