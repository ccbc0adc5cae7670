"""The connections of gRPC's clients: no headers before the limits hold, and none that stays."""

import asyncio
import gc
import socket
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import uvloop
from conformance.processes import processes

from greengrocer.rpc.gate import Gate, Timeouts
from greengrocer.rpc.settled import PREFACE
from greengrocer.web.wire.listener import bind
from support.make_images import jpeg
from support.rpc import (
    ACKNOWLEDGEMENT,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    SETTINGS,
    WINDOW,
    RpcClient,
    address_of,
    files,
    frame,
    headers,
)
from support.servers import StartServer
from support.waiting import SECONDS

CALL = headers(
    *[(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b":authority", b"x")],
    *[(b"te", b"trailers"), (b"content-type", b"application/grpc")],
)
LARGE = b"\x40\x01a\x7f\xa1\x1e" + b"x" * 4000  # a header that is kept for later calls
AGAIN = b"\xbe"  # the same header in a later call, in one byte
CALLS, TIMES = 95, 12_000
GROWN = 50_000  # kilobytes; without a gate they take 100,000, and 750,000 if more run at once
SOON, NEVER = 0.3, 3600.0  # seconds that a client has
AGREED = frame(SETTINGS, ACKNOWLEDGEMENT)
ANSWER = bytes(10_000_000)
LINGER = struct.pack("ii", 1, 0)  # the end of a connection is a reset


@pytest.mark.parametrize("agreed", [b"", AGREED], ids=["before", "after"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_headers_fill_no_memory_before_and_after_the_settings_are_agreed(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...], agreed: bytes
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
    server = serve(*flags, *workers)
    host, _, port = address_of(server).rpartition(":")
    service = processes(server.process.pid)
    with RpcClient(f"{host}:{port}") as client:
        assert client.infer(files(jpeg(5))).model_name == "greys"
        before = service.kilobytes("Rss")
        service.forget_peaks()
        with socket.create_connection((host, int(port)), SECONDS) as hostile:
            hostile.sendall(PREFACE + frame(SETTINGS))
            assert hostile.recv(1)  # the server's settings
            block = [CALL + LARGE, *[CALL + AGAIN * TIMES] * CALLS]
            whole = END_STREAM | END_HEADERS
            sent = [frame(HEADERS, whole, 1 + 2 * k, each) for k, each in enumerate(block)]
            with suppress(OSError):  # it is disconnected
                hostile.sendall(agreed + b"".join(sent))
                hostile.shutdown(socket.SHUT_WR)
                while hostile.recv(1 << 16):
                    pass
        assert client.infer(files(jpeg(5))).model_name == "greys"
        assert service.peak() - before < GROWN


@asynccontextmanager
async def opened(seconds: float = SOON, send: float = NEVER) -> AsyncIterator[tuple[str, int]]:
    """A gate before a gRPC that answers each call with many bytes."""

    async def answer(request: bytes, _: object) -> bytes:
        return request + ANSWER

    class Handler(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> Any:
            return grpc.unary_unary_rpc_method_handler(answer)

    listener = bind("127.0.0.1", 0)
    gate = Gate(listener, None, Timeouts(NEVER, seconds, send), lambda _: None)
    server = grpc.aio.server(handlers=(Handler(),))
    server.add_insecure_port(gate.address)
    await server.start()
    gate.start()
    yield listener.getsockname()[:2]
    gate.close()
    ending = asyncio.ensure_future(server.stop(0))
    await gate.finish()
    await ending


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test on the event loop that the service has."""
    uvloop.run(asyncio.wait_for(test, SECONDS))


def test_no_client_is_lost_and_all_bytes_pass() -> None:
    async def test() -> None:
        async with opened() as (host, port):
            for count in range(100):
                sent = bytes([count]) * count * 3000
                options = (
                    ("grpc.use_local_subchannel_pool", 1),
                    ("grpc.max_receive_message_length", -1),
                )
                async with grpc.aio.insecure_channel(f"{host}:{port}", options) as channel:
                    ask: Any = channel.unary_unary("/a/b")
                    assert await ask(sent) == sent + ANSWER

    run(test())


@pytest.mark.parametrize("sent", [b"", PREFACE + frame(SETTINGS) + AGREED], ids=["silent", "ready"])
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "half closed"])
def test_a_client_that_goes_at_once_fails_nothing(reset: bool, sent: bytes) -> None:
    async def test() -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, about: failures.append(about))
        async with opened() as address:
            for _ in range(100):
                with socket.create_connection(address) as client:
                    client.sendall(sent)
                    if reset:
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                    else:
                        client.shutdown(socket.SHUT_WR)
                    await asyncio.sleep(0.001)  # it is connected, or not yet
            async with grpc.aio.insecure_channel("{}:{}".format(*address)) as channel:
                ask: Any = channel.unary_unary("/a/b")
                with pytest.raises(grpc.RpcError, match="larger than max"):
                    await ask(b"")
        assert not failures

    run(test())


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\n\r\n", PREFACE + frame(SETTINGS)],
    ids=["silent", "HTTP/1.1", "settings only"],
)
def test_a_client_that_gets_no_further_is_disconnected(sent: bytes) -> None:
    async def test() -> None:
        async with opened() as (host, port):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(sent)
            with suppress(ConnectionResetError):
                await reader.read()  # until the end
            writer.close()

    run(test())


def test_nothing_is_left_of_connections_that_ended() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with opened(NEVER) as address:
            for _ in range(20):
                with socket.socket() as client:
                    client.setblocking(False)
                    await loop.sock_connect(client, address)
                    await loop.sock_sendall(client, PREFACE + frame(SETTINGS) + AGREED)
                    assert await loop.sock_recv(client, 1)
                    assert transports()
            while transports():  # noqa: ASYNC110  # no event tells that there are none
                await asyncio.sleep(0)

    run(test())


def test_a_client_that_reads_no_acknowledgements_is_not_read_and_goes_in_time() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            async with opened(send=SOON) as address:
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, PREFACE + frame(SETTINGS) + AGREED)
                with suppress(ConnectionResetError, BrokenPipeError):
                    while True:  # gRPC would take them for ever, and keep an answer to each
                        await loop.sock_sendall(client, frame(SETTINGS) * 1000)

    run(test())


def transports() -> int:
    """How many transports of the gate are in memory."""
    gc.collect()
    kinds = {"TCPTransport", "UnixTransport"}  # uvloop's
    return sum(type(each).__name__ in kinds for each in gc.get_objects())


def test_a_client_that_does_not_read_holds_up_no_stop() -> None:
    window = frame(WINDOW, 0, 0, (1 << 30).to_bytes(4))
    open_windows = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) + AGREED + window
    message = b"\0" + bytes(4)
    call = frame(HEADERS, END_HEADERS, 1, CALL) + frame(DATA, END_STREAM, 1, message)

    async def test() -> None:
        with socket.socket() as client:
            client.setblocking(False)
            async with opened() as address:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, PREFACE + open_windows + call)
                while len(await loop.sock_recv(client, 1000)) < 1000:  # the answer begins
                    pass
            got = 0
            with suppress(ConnectionResetError):
                while part := await loop.sock_recv(client, 1 << 20):
                    got += len(part)
            assert got < len(ANSWER)

    run(test())
