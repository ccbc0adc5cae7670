"""No request fails when servers behind a balancer are replaced one by one."""

from pathlib import Path

import pytest

from support.haproxy import haproxy
from support.load import load
from support.make_images import jpeg
from support.servers import StartServer

pytestmark = [pytest.mark.accept, pytest.mark.leg("HAProxy")]

CLIENTS = 4
TIMES = 2  # that each of two servers is replaced
REQUESTS = 10_000
LONG = 600.0  # seconds: for thousands of answers, on a machine that has much else to do


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_none_of_ten_thousand_requests_fails_while_servers_are_replaced(
    serve: StartServer, fake_bundle: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    patient = ("--drain-delay-seconds", "3", "--access-log", "false", "--max-queue-seconds", "60")
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", *patient, *workers)
    servers = [serve(*flags), serve(*flags)]
    ports = [server.port for server in servers]
    with (
        haproxy(tmp_path, ports) as balancer,
        load(balancer.url, jpeg(250), CLIENTS, kept=True) as clients,
    ):
        for _ in range(TIMES):
            for at, port in enumerate(ports):
                assert servers[at].stop() == 0
                servers[at] = serve(*flags, "--port", str(port))
                balancer.until_up(ports)
                clients.until_more(REQUESTS // (TIMES * len(ports)), LONG)
    assert [server.stop() for server in servers] == [0, 0]
    assert not clients.others
    assert clients.statuses[200] >= REQUESTS
