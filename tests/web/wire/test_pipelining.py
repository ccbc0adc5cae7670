"""Pipelined requests are answered in order and in little memory."""

import gc
import select
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from conformance.processes import Processes, processes
from conformance.watches import health_stays_quick

from greengrocer.web.wire import read_ahead
from greengrocer.web.wire.protocol import LimitedProtocol
from greengrocer.web.wire.response import AHEAD
from support.engines import HeldEngine
from support.live import Live
from support.make_images import jpeg
from support.servers import Server, StartServer
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post

DARK = jpeg(5)
SMALL = b"GET /livez HTTP/1.1\r\nHost:a\r\n\r\n"
READ = 256_000  # bytes: what a connection gives at once
CONNECTIONS = 60
PEAK = 60_000  # kilobytes: for each connection what is read ahead of it, and what it is told
LEFT = 30_000  # of it, that the allocators may keep


def numbered(count: int) -> bytes:
    """So many requests, each with its number as its id."""
    return b"".join(head("GET", "/livez", f"X-Request-Id: {k}") for k in range(count))


def ids(wire: Wire, count: int) -> Iterator[int]:
    """The ids of so many answers."""
    for _ in range(count):
        yield int(wire.answer().headers["x-request-id"])


def flood(url: str, watched: Processes) -> None:
    """Send as much as one read takes on each of many connections, and read none of the answers."""
    assert exchange(url, SMALL).status == 200
    before = watched.kilobytes("Rss")
    watched.forget_peaks()
    with ExitStack() as opened, health_stays_quick(url):
        wires = [opened.enter_context(Wire(url)) for _ in range(CONNECTIONS)]
        for wire in wires:
            wire.send(SMALL * (READ // len(SMALL)))
        for wire in wires:
            assert wire.answer().status == 200
    assert watched.peak() - before < PEAK
    assert watched.kilobytes("Rss") - before < LEFT


@pytest.mark.accept
@pytest.mark.parametrize("workers", [None, 2])
def test_a_flood_of_requests_takes_little_memory_and_blocks_no_request(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    flags = () if workers is None else ("--workers", str(workers))
    quiet = ("--access-log", "false")
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *quiet, *flags)
    flood(server.url, processes(server.process.pid))


def test_ten_thousand_requests_at_once_are_answered_in_order(fake_server: Server) -> None:
    count = 10_000
    with Wire(fake_server.url) as wire:
        wire.send(numbered(count)[:READ])  # more than is read ahead: the rest waits in the kernel
        wire.send(numbered(count)[READ:])
        assert list(ids(wire, count)) == list(range(count))
        assert wire.send(SMALL).answer().status == 200


def test_pipelined_images_are_answered_in_order(fake_server: Server) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (DARK[:99], DARK[99:]))
    lines = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    broken = b"\r\n\n\r\n" * 50  # of which a body may hold any number
    sent = [
        post(DARK + broken, "X-Request-Id: 0"),
        b"\r\n\r\n" + head("GET", "/livez", "X-Request-Id: 1"),
        head("POST", "/predict", *lines, "X-Request-Id: 2") + chunks + b"0\r\nX: y\r\n\r\n",
        head("POST", "/predict", *lines, "X-Request-Id: 3") + chunks + b"0\r\n\r\n",
        head("GET", "/livez", "X-Request-Id: 4"),
    ]
    with Wire(fake_server.url) as wire:
        wire.send(b"".join(sent) * 20)
        answers = [wire.answer() for _ in range(100)]
    assert {answer.status for answer in answers} == {200}
    assert [answer.headers["x-request-id"] for answer in answers] == [*"01234"] * 20


def test_a_blank_line_may_arrive_in_parts(fake_server: Server) -> None:
    sent = numbered(2)
    end = sent.index(b"\r\n\r\n")
    for cut in range(end - 1, end + 6):
        with Wire(fake_server.url) as wire:
            wire.send(sent[:cut])
            assert exchange(fake_server.url, SMALL).status == 200  # and the first part is read
            wire.send(sent[cut:])
            assert list(ids(wire, 2)) == [0, 1]


def test_garbage_after_many_requests_is_refused_in_order(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        wire.send(numbered(1000) + b"garbage\r\n\r\n" + SMALL)
        assert list(ids(wire, 1000)) == list(range(1000))
        assert wire.answer().status == 400
        assert wire.closed()


def test_an_endless_head_after_other_requests_is_refused(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve(
        "--bundle", str(fake_bundle), "--engine", "fake", "--header-timeout-seconds", "0.2"
    )
    with Wire(server.url) as wire:
        wire.send(numbered(10) + SMALL[:-2])
        assert list(ids(wire, 10)) == list(range(10))
        assert wire.answer().status == 408


def test_requests_after_connection_close_are_not_answered(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        wire.send(head("GET", "/livez", "Connection: close") + SMALL)
        assert wire.answer().status == 200
        assert wire.closed()


def test_reading_ahead_of_an_answer_is_bounded(held_server: Live, held_engine: HeldEngine) -> None:
    with Wire(held_server.url) as wire:
        wire.send(post(DARK))
        assert held_engine.busy.wait(SECONDS)
        wire.socket.settimeout(1)
        with pytest.raises(TimeoutError):  # the kernel keeps some, and then no more is taken
            wire.send(bytes(100 * AHEAD))


def test_reading_ahead_is_bounded_over_all_connections(
    held_server: Live, held_engine: HeldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, count = 4, 30
    monkeypatch.setattr(read_ahead, "ALL_BYTES", kept * AHEAD)
    with ExitStack() as opened:
        wires = [opened.enter_context(Wire(held_server.url)) for _ in range(count)]
        for wire in wires:
            with suppress(OSError):  # it is closed already
                wire.send(post(DARK) + SMALL * (AHEAD // len(SMALL)))
        poll = select.poll()  # tells of whoever was hung up on
        for wire in wires:
            poll.register(wire.socket, 0)
        until(lambda: len(poll.poll(0)) >= count - kept - 1, SECONDS)
        held_engine.release.set()
        assert wires[0].answer().status == 200  # whoever came first is kept
        assert exchange(held_server.url, post(DARK) + SMALL).status == 200


def test_refused_connections_are_freed(held_server: Live) -> None:
    def kept() -> int:
        return sum(issubclass(type(one), LimitedProtocol) for one in gc.get_objects())

    gc.collect()  # what other tests of this process have left
    gc.disable()
    before = kept()
    try:
        for refused in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"garbage\r\n\r\n",
            b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        ):
            for _ in range(20):
                assert exchange(held_server.url, refused).status == 400
        until(lambda: kept() <= before)
    finally:
        gc.enable()
