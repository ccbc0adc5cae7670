"""The limits of a request's head: its size, number of headers and time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.web.wire.head import SINGLE
from greengrocer.web.wire.protocol import WireLimits
from support.live import live, make_service
from support.problems import problem_of
from support.servers import Server, StartServer
from support.wire import Wire, WireAnswer, exchange, head

LIMITS = WireLimits()
FIXED = len("Host") + len("test")  # bytes of the header that every request here has


def refused(answer: WireAnswer) -> tuple[int, str]:
    """Status and code of a refusal, whose shape is checked, and which ends the connection."""
    assert answer.headers["connection"] == "close"
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert problem.instance is None
    return problem.status, problem.code


@pytest.fixture(scope="module")
def quick_url(fake_bundle: Path) -> Iterator[str]:
    """A server whose patience with heads is a fifth of a second."""
    with live(make_service(fake_bundle), WireLimits(head_seconds=0.2)) as server:
        yield server.url


def test_as_many_headers_as_the_limit_are_accepted(fake_server: Server) -> None:
    headers = [f"X-{k}: y" for k in range(LIMITS.headers - 1)]
    assert exchange(fake_server.url, head("GET", "/livez", *headers)).status == 200


def test_one_header_more_is_refused(fake_server: Server) -> None:
    headers = [f"X-{k}: y" for k in range(LIMITS.headers)]
    assert refused(exchange(fake_server.url, head("GET", "/livez", *headers))) == (
        431,
        "head-too-large",
    )


@pytest.mark.parametrize("extra", [0, 1])
def test_headers_may_be_as_large_as_the_limit(fake_server: Server, extra: int) -> None:
    value = "y" * (LIMITS.header_bytes - FIXED - len("X") + extra)
    answer = exchange(fake_server.url, head("GET", "/livez", f"X: {value}"))
    assert answer.status == (431 if extra else 200)


@pytest.mark.parametrize("extra", [0, 1])
def test_a_url_may_be_as_long_as_the_limit(fake_server: Server, extra: int) -> None:
    target = "/livez?".ljust(LIMITS.url_bytes + extra, "x")
    answer = exchange(fake_server.url, head("GET", target))
    if extra:
        assert refused(answer) == (414, "uri-too-long")
    else:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("begun", "status"),
    [(b"GET /", 414), (b"GET / HTTP/1.1\r\nX: ", 431), (b"GET / HTTP/1.1\r\nX", 431)],
    ids=["url", "value", "name"],
)
def test_an_endless_line_is_refused_while_it_is_being_sent(
    fake_server: Server, begun: bytes, status: int
) -> None:
    assert exchange(fake_server.url, begun + b"x" * 10_000_000).status == status


def test_an_endless_trailer_is_refused(fake_server: Server) -> None:
    chunked = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    with Wire(fake_server.url) as wire:
        wire.send(head("POST", "/predict", *chunked) + b"1\r\nx\r\n0\r\nX: " + b"x" * 10_000_000)
        assert refused(wire.answer()) == (431, "head-too-large")
        assert wire.closed()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"\0" * 100,
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        b"CONNECT a.example:443 HTTP/1.1\r\n\r\n",
        b"CONNECT /predict HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b c\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda garbage: repr(garbage[:24]),
)
def test_garbage_is_a_problem_document(fake_server: Server, garbage: bytes) -> None:
    assert refused(exchange(fake_server.url, garbage)) == (400, "bad-request")


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_header_that_decides_something_is_refused_if_it_is_repeated(
    fake_server: Server, name: bytes
) -> None:
    lines = [f"{name.decode()}: {value}" for value in ("1", "2")]
    answer = exchange(fake_server.url, head("POST", "/predict", *lines, "Content-Length: 0"))
    assert refused(answer) == (400, "bad-request")
    assert f"more than one {name.decode().title()} header" in answer.body.decode()


@pytest.mark.parametrize(
    ("codings", "refusal"),
    [
        (["gzip, chunked"], (501, "unsupported-transfer-coding")),
        (["gzip", "chunked"], (501, "unsupported-transfer-coding")),
        (["identity, chunked"], (501, "unsupported-transfer-coding")),
        (["x;y=z, CHUNKED"], (501, "unsupported-transfer-coding")),
        (["gzip"], (400, "bad-request")),  # its end is unknown
        (["chunked, gzip"], (400, "bad-request")),
    ],
    ids=repr,
)
def test_a_transfer_coding_other_than_chunked_is_refused(
    fake_server: Server, codings: list[str], refusal: tuple[int, str]
) -> None:
    lines = [f"Transfer-Encoding: {coding}" for coding in codings]
    request = head("POST", "/predict", "Content-Type: image/jpeg", *lines) + b"1\r\nx\r\n0\r\n\r\n"
    assert refused(exchange(fake_server.url, request)) == refusal


@pytest.mark.parametrize("version", ["1.0", "0.9", "2.0"])
def test_only_http_1_1_has_transfer_codings(fake_server: Server, version: str) -> None:
    lines = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    request = head("POST", "/predict", *lines).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
    answer = exchange(fake_server.url, request + b"1\r\nx\r\n0\r\n\r\n")
    assert refused(answer) == (400, "bad-request")


def test_chunked_may_be_in_any_case_and_beside_empty_elements(fake_server: Server) -> None:
    coding = "Transfer-Encoding: , Chunked"
    request = head("POST", "/predict", "Content-Type: image/jpeg", coding) + b"0\r\n\r\n"
    assert problem_of(*exchange(fake_server.url, request)).code == "empty-image"


def test_a_slow_head_is_refused(quick_url: str) -> None:
    assert refused(exchange(quick_url, b"GET /livez HTTP/1.1\r\nHost:")) == (408, "slow-head")


def test_a_slow_second_head_is_refused_too(quick_url: str) -> None:
    with Wire(quick_url) as wire:
        assert wire.send(head("GET", "/livez")).answer().status == 200
        assert refused(wire.send(b"GET /liv").answer()) == (408, "slow-head")


@pytest.mark.parametrize("said", [b"", b"\r\n"])
def test_a_silent_connection_is_closed(quick_url: str, said: bytes) -> None:
    with Wire(quick_url) as wire:
        assert wire.send(said).closed()


def test_line_breaks_do_not_keep_a_connection_open(quick_url: str) -> None:
    with Wire(quick_url) as wire:
        assert wire.send(head("GET", "/livez")).answer().status == 200
        assert wire.send(b"\r\n").closed()


def test_an_idle_connection_is_closed_without_an_answer(
    serve: StartServer, fake_bundle: Path
) -> None:
    flags = ("--keep-alive-timeout-seconds", "0.3", "--header-timeout-seconds", "0.1")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    with Wire(server.url) as wire:
        assert wire.send(head("GET", "/livez")).answer().status == 200
        assert wire.closed()


def test_the_header_time_out_does_not_apply_to_idle_connections(
    serve: StartServer, fake_bundle: Path
) -> None:
    flags = ("--keep-alive-timeout-seconds", "60", "--header-timeout-seconds", "0.1")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    with Wire(server.url) as wire:
        assert wire.send(head("GET", "/livez")).answer().status == 200
        with Wire(server.url) as later:
            assert later.closed()  # its time for a head is over
        assert wire.send(head("GET", "/livez")).answer().status == 200


def test_two_hundred_slow_clients_do_not_block_health(fake_server: Server) -> None:
    slow = [Wire(fake_server.url) for _ in range(200)]
    for number, wire in enumerate(slow):
        wire.send(
            b"GET /livez HTTP/1.1\r\nX"
            if number % 2
            else head("POST", "/predict", "Content-Type: image/jpeg", "Content-Length: 900") + b"x"
        )
    with fake_server.client() as client:
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
    for wire in slow:
        wire.__exit__()
