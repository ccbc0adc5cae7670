"""What gRPC received goes back to the system once a process is idle, without a body of HTTP."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from greengrocer.serving.memory import Trim
from greengrocer.web.wire import server as web_server
from support.live import make_service
from support.make_images import jpeg
from support.processes import memory, tree
from support.rpc import RpcClient, address_of, files, live_rpc
from support.servers import StartServer
from support.waiting import until

MEGA = 1_000_000
LARGE = files(jpeg(250).ljust(19 * MEGA, b"\0"))
CLIENTS = 8
FRAMES = 5000  # bytes of HTTP/2 for a call, besides its message
LEFT_BEHIND = 30_000  # kilobytes of all processes; the messages have five times as much


@pytest.mark.accept
@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_large_messages_leave_no_memory_behind(
    serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--threads", "1"]
    server = serve(*flags, "--grpc-port", "0", "--request-timeout-seconds", "100", *workers)
    where = address_of(server, 2 if workers else 1)

    def taken() -> int:
        return sum(memory(pid, "Anonymous") for pid in tree(server.process.pid))

    with ExitStack() as opened, ThreadPoolExecutor(CLIENTS) as pool:
        clients = [opened.enter_context(RpcClient(where)) for _ in range(CLIENTS)]
        for client in clients:
            assert client.infer(files(jpeg(250))).model_name == "greys"
        before = taken()
        answers = pool.map(lambda client: client.infer(LARGE).model_name, clients)
        assert set(answers) == {"greys"}
        until(lambda: taken() - before < LEFT_BEHIND)


class SeenTrim(Trim):
    """One whose counts a test sees."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.counts: list[int] = []

    def received(self, count: int) -> None:
        """Count, and remember it."""
        self.counts.append(count)
        super().received(count)

    def busy(self) -> bool:
        """Whether work is in flight."""
        return self._busy()


@pytest.fixture
def trim(monkeypatch: pytest.MonkeyPatch) -> list[SeenTrim]:
    """What returns the memory of the servers that begin."""
    made: list[SeenTrim] = []

    def make(*arguments: Any) -> SeenTrim:
        made.append(SeenTrim(*arguments))
        return made[-1]

    monkeypatch.setattr(web_server, "Trim", make)
    return made


def test_all_bytes_count_that_come(trim: list[SeenTrim], fake_bundle: Path) -> None:
    sent = files(jpeg(250)).SerializeToString()
    with live_rpc(make_service(fake_bundle)) as served, served.rpc() as client:
        client.infer(sent)
        assert len(sent) < sum(trim[0].counts) < len(sent) + FRAMES


def test_a_watch_does_not_keep_memory(trim: list[SeenTrim], fake_bundle: Path) -> None:
    with (
        live_rpc(make_service(fake_bundle)) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        stub: Any = HealthStub(channel)  # whose types know no watches
        watch = stub.Watch(HealthCheckRequest())
        assert next(watch).status == HealthCheckResponse.SERVING
        until(lambda: not trim[0].busy())
        watch.cancel()
