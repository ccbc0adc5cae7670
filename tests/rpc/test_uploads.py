"""What clients send takes no more memory than is promised."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.processes import Processes, processes
from grpc import StatusCode

from greengrocer.web.access.keys import add_key
from support.make_images import jpeg
from support.rpc import RpcClient, address_of, files
from support.servers import Server, StartServer

LARGE = files(jpeg(5).ljust(20_000_000, b"\0"))
CLIENTS = 16
TURNS = 2
KEPT = 40_000  # kilobytes, besides messages: windows of HTTP/2, and what the allocator keeps


def flood(server: Server, service: Processes) -> tuple[set[StatusCode], int]:
    """How calls with a large message each, at the same time, end; and the peak in kilobytes."""
    where = address_of(server)

    def send(_: int) -> StatusCode:
        with RpcClient(where) as client:
            code: StatusCode = client.begin(LARGE).code()
            return code

    send(0)
    before = service.kilobytes("Rss")
    service.forget_peaks()
    with ThreadPoolExecutor(CLIENTS) as pool:
        codes = set(pool.map(send, range(CLIENTS)))
    return codes, service.peak() - before


def test_a_client_without_a_key_fills_no_memory(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    add_key(tmp_path / "keys", "till")
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--api-keys", str(tmp_path / "keys"))
    server = serve(*flags, "--grpc-port", "0")
    codes, grown = flood(server, processes(server.process.pid))
    assert codes == {StatusCode.UNAUTHENTICATED}
    assert grown < KEPT, grown


def test_no_more_messages_are_received_at_once_than_there_is_memory_for(
    serve: StartServer, fake_bundle: Path
) -> None:
    """A message is in memory twice while gRPC hands it over."""
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--upload-memory-bytes", "45MB")
    server = serve(*flags, "--grpc-port", "0", "--upload-grace-seconds", "120")
    codes, grown = flood(server, processes(server.process.pid))
    assert codes <= {StatusCode.OK, StatusCode.UNAVAILABLE}
    assert grown < TURNS * 2 * 20_000 + KEPT + 45_000, grown
