"""Which address is a request's client, with and without proxies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from greengrocer.web.access.address import UNKNOWN, address_of, as_seen, shown_address
from support.access import closed
from support.haproxy import haproxy
from support.live import live
from support.servers import StartServer
from support.wire import exchange, has_ipv6, head

PATH = "/class-names"


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", UNKNOWN),
        ("a" * 5000, UNKNOWN),
    ],
)
def test_an_ipv4_address_or_an_ipv6_network_is_counted(host: str, counted: str) -> None:
    assert address_of({"client": (host, 1)}) == counted


def test_the_full_address_is_logged() -> None:
    hosts = ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1:2:3:4:5:6", "fe80::1%eth0", "nonsense"]
    shown = [shown_address((host, 1)) for host in hosts]
    assert shown == ["192.0.2.7", "192.0.2.7", "2001:db8:1:2:3:4:5:6", "fe80::1", UNKNOWN]
    assert shown_address(None) == UNKNOWN


def test_clients_without_an_address_are_counted_together() -> None:
    assert address_of({"client": None}) == UNKNOWN


def test_a_trusted_proxy_is_recognised_by_its_mapped_ipv6_address() -> None:
    assert as_seen(("10.0.0.0/8", "::1/128")) == ["10.0.0.0/8", "::1/128", "::ffff:10.0.0.0/104"]


def forwarded(url: str, *values: str) -> str:
    """The remaining allowance of the client that the service identified."""
    headers = [f"X-Forwarded-For: {value}" for value in values]
    return exchange(url, head("GET", PATH, *headers)).headers["ratelimit"].partition(";t=")[0]


def left(number: int) -> str:
    return f'"address";r={number}'


def test_x_forwarded_for_is_ignored_without_trusted_proxies(fake_bundle: Path) -> None:
    with live(closed(fake_bundle, rates={"address": "9/hour"})) as server:
        told = [forwarded(server.url, f"192.0.2.{n}") for n in range(3)]
    assert told == [left(8), left(7), left(6)]


def test_the_last_untrusted_hop_is_the_client(fake_bundle: Path) -> None:
    proxies = ("127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32")
    service = closed(fake_bundle, rates={"address": "9/hour"}, trusted_proxies=proxies)
    with live(service) as server:
        assert forwarded(server.url, "192.0.2.1") == left(8)
        # whatever the client itself said before
        assert forwarded(server.url, "198.51.100.9, 192.0.2.1") == left(7)
        assert forwarded(server.url, "198.51.100.10", "192.0.2.1") == left(6)
        assert forwarded(server.url, "10.0.0.1, 192.0.2.1, 10.1.2.3, 2001:db8::7") == left(5)
        assert forwarded(server.url, "192.0.2.1:4711") == left(4)
        assert forwarded(server.url, "192.0.2.2") == left(8)
        assert forwarded(server.url, "2a00:1:2:3::1") == left(8)
        assert forwarded(server.url, "[2a00:1:2:3::2]:99") == left(7)
        assert forwarded(server.url) == left(8)  # the proxy's own
        assert forwarded(server.url, "nonsense") == left(8)
        assert forwarded(server.url, "other nonsense") == left(7)


def test_a_client_whom_a_trusted_proxy_does_not_name_is_unknown(fake_bundle: Path) -> None:
    proxies = ("127.0.0.1/32", "10.0.0.0/8")
    service = closed(fake_bundle, rates={"address": "9/hour"}, trusted_proxies=proxies)
    with live(service) as server:
        assert forwarded(server.url) == left(8)  # the proxy's own
        unnamed = ["", ", 10.0.0.1", ":80", "192.0.2.1, , 10.0.0.1", "192.0.2.1,"]
        for number, said in enumerate(unnamed):
            assert forwarded(server.url, said) == left(8 - number)
        assert forwarded(server.url, "192.0.2.1", "") == left(3)
        # what the client itself sent comes first
        assert forwarded(server.url, "", "192.0.2.1, 10.0.0.1") == left(8)
        assert forwarded(server.url, ", 192.0.2.1") == left(7)
        assert forwarded(server.url) == left(7)


@contextmanager
def client_at(address: str, url: str) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(local_address=address)
    with httpx.Client(base_url=url, transport=transport, timeout=60) as client:
        yield client


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_a_trusted_proxy_is_recognised_on_a_dual_stack_port(
    serve: StartServer, fake_bundle: Path
) -> None:
    limits = ("--rate-limit-per-address", "9/hour", "--trusted-proxies", "127.0.0.1")
    server = serve("--host", "::", "--bundle", str(fake_bundle), "--engine", "fake", *limits)
    url = f"http://127.0.0.1:{server.port}"
    assert [forwarded(url, f"192.0.2.{n}") for n in (1, 2)] == [left(8)] * 2
    assert forwarded(url, "::ffff:192.0.2.2") == left(7)
    assert forwarded(f"http://[::1]:{server.port}", "192.0.2.3") == left(8)  # its own: no proxy
    assert forwarded(f"http://[::1]:{server.port}", "192.0.2.4") == left(7)


def test_behind_haproxy_each_client_has_its_own_limit(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    limits = ("--rate-limit-per-address", "3/hour", "--trusted-proxies", "127.0.0.1")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *limits)
    with haproxy(tmp_path, [server.port], "option forwardfor") as balancer:
        for address in ("127.0.0.2", "127.0.0.3"):
            with client_at(address, balancer.url) as client:
                forged = [{}, {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "127.0.0.1"}]
                told = [client.get(PATH, headers=each).status_code for each in (*forged, {})]
            assert told == [200, 200, 200, 429]
    # past the balancer nobody is believed
    with client_at("127.0.0.4", server.url) as client:
        told = [
            client.get(PATH, headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code
            for n in range(4)
        ]
    assert told == [200, 200, 200, 429]
