"""Calls that send nothing, and watches that never end, take no places of others."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from greengrocer.errors import Overloaded
from greengrocer.rpc.endpoints import SERVICE
from greengrocer.rpc.messages.open_inference_pb2 import ServerLiveRequest, ServerLiveResponse
from greengrocer.rpc.places import Places
from support.make_images import jpeg
from support.rpc import LiveRpc, RpcClient, ended, files
from support.scrapes import sample, scrape
from support.waiting import SECONDS, until

GREY = jpeg(5)
CONNECTIONS = 12
WATCHES = 8  # that an address may have


@contextmanager
def silent(running: LiveRpc, path: str, calls: int) -> Iterator[list[Any]]:
    """So many calls that send nothing until the block ends, on a dozen connections."""
    stop = threading.Event()

    def nothing() -> Iterator[bytes]:
        stop.wait(SECONDS)
        yield b""

    with ExitStack() as stack:
        clients = [stack.enter_context(running.rpc()) for _ in range(CONNECTIONS)]
        asks: list[Any] = [client.channel.stream_unary(path) for client in clients]
        yield [asks[k % CONNECTIONS].future(nothing()) for k in range(calls)]
        stop.set()


def watches(client: RpcClient, count: int) -> list[Any]:
    """So many watches of the server."""
    watch: Any = client.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        HealthCheckRequest.SerializeToString,
        HealthCheckResponse.FromString,
    )
    return [watch(HealthCheckRequest()) for _ in range(count)]


def test_watches_are_few_for_each_address_and_take_no_place_of_a_call(running: LiveRpc) -> None:
    with running.rpc() as client, running.client() as http:
        refused_before = sample(scrape(http), "rejections_total", reason="overloaded")
        begun = watches(client, 100)
        until(lambda: sum(watch.done() for watch in begun) == 100 - WATCHES)
        ends = [ended(watch) for watch in begun if watch.done()]
        assert {end.code for end in ends} == {StatusCode.RESOURCE_EXHAUSTED}
        assert {end.trailing["retry-after"] for end in ends} == {"1"}
        open_ones = [watch for watch in begun if not watch.done()]
        assert {next(watch).status for watch in open_ones} == {HealthCheckResponse.SERVING}
        assert client.infer(files(GREY))
        assert client.health() == 1
        refused = sample(scrape(http), "rejections_total", reason="overloaded")
        assert refused - refused_before == len(ends)
        for watch in begun:
            watch.cancel()
        until(lambda: _watched(client))  # the places are free again


def _watched(client: RpcClient) -> bool:
    (watch,) = watches(client, 1)
    try:
        return bool(next(watch).status == HealthCheckResponse.SERVING)
    except grpc.RpcError:
        return False
    finally:
        watch.cancel()


@pytest.mark.parametrize(
    ("method", "count", "given_up"),
    [
        ("ServerLive", 300, 150),
        ("ServerMetadata", 300, 150),
        pytest.param("ModelInfer", 1100, 400, marks=pytest.mark.accept),
    ],
)
def test_silent_calls_of_a_method_keep_no_probe_waiting(
    running: LiveRpc, method: str, count: int, given_up: int
) -> None:
    """Nor calls of other methods; and no prober is blamed for them."""
    with silent(running, f"/{SERVICE}/{method}", count) as calls, running.rpc() as client:
        until(lambda: sum(call.done() for call in calls) >= given_up)
        for _ in range(4):
            assert client.health() == 1
        assert client.call("ServerLive", ServerLiveRequest(), ServerLiveResponse).live
        if method != "ModelInfer":
            assert client.infer(files(GREY))


class Peer:
    """A call, as far as its place is concerned."""

    def __init__(self, host: str) -> None:
        self._peer = f"unix:/tmp/grpc-1/{host}:4711"
        self.done: list[Any] = []

    def peer(self) -> str:
        """The address of its connection."""
        return self._peer

    def add_done_callback(self, callback: Any) -> None:
        """Remember what to call at its end."""
        self.done.append(callback)


def test_a_process_has_so_many_places_and_one_address_fewer() -> None:
    places = Places("watches", 3, 2)
    calls: list[Any] = [Peer(host) for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
    places.take(calls[0])
    places.take(calls[1])
    with pytest.raises(Overloaded, match="your address may have 2 watches"):
        places.take(Peer("192.0.2.1"))  # type: ignore[arg-type]
    places.take(calls[2])
    with pytest.raises(Overloaded, match="this process may have 3 watches"):
        places.take(Peer("192.0.2.3"))  # type: ignore[arg-type]
    for call in calls:
        call.done[0](call)
    places.take(Peer("192.0.2.1"))  # type: ignore[arg-type]


def test_unread_answers_have_places_by_their_bytes() -> None:
    places = Places("bytes", 100, 50)
    calls: list[Any] = [Peer(host) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3")]
    places.take(calls[0], 60)  # one answer always has room
    with pytest.raises(Overloaded, match="your address may have 50 bytes"):
        places.take(Peer("192.0.2.1"), 1)  # type: ignore[arg-type]
    places.take(calls[1], 40)
    with pytest.raises(Overloaded, match="this process may have 100 bytes"):
        places.take(calls[2], 1)
    calls[0].done[0](calls[0])
    places.take(calls[2], 50)
