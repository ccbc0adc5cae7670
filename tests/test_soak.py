"""The soak: its books must balance, its bounds must bite, and the service must stand it."""

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from soak.clients import Clients
from soak.kinds import LEFT, OK, Kind, Manner
from soak.ledger import CUT, UNANSWERED, Ledger
from soak.memory import NOISE, OTHER_MODEL, Figures, Memory
from soak.reconcile import Samples, compare
from soak.refused import CUT_SHORT
from soak.watch import Sample, growths, trends

from support import leaking
from support.documents import ROOT
from support.servers import clean_environment

pytestmark = [pytest.mark.leg("soak"), pytest.mark.anyio]

MINUTES = 1
ENOUGH = 100  # requests
PICTURE = Kind("picture", 1, "/predict", [b"x"], frozenset({OK, LEFT}))
NO_HTTP = Kind("no HTTP", 1, None, [b"x"], frozenset({"400 bad-request"}))
PROBE = Kind("probe", 1, "/readyz", [b"x"], frozenset({OK}))
SLOW = Kind("slow reader", 1, None, [b"x"], frozenset({OK}), Manner.READS_SLOWLY)
NEVER = Kind("never read", 1, None, [b"x"], frozenset({LEFT}), Manner.NEVER_READS)
FLOOD = Kind("flood", 1, "/flood", [b"x"], frozenset({OK}), Manner.PIPELINES, 50)
UNREAD = Kind("unread", 1, "/flood", [b"x"], frozenset({LEFT}), Manner.NEVER_READS, 4)
START, IN_FLIGHT = 150_000_000, 320_000_000  # bytes
LARGE = 4_000_000  # bytes: more than there is room for between the two


def booked(ledger: Ledger, kind: Kind, outcome: str) -> None:
    ledger.end(ledger.begin(kind, 0.0), outcome)


def test_every_request_has_one_end_and_what_has_none_is_told() -> None:
    ledger = Ledger()
    booked(ledger, PICTURE, OK)
    ledger.begin(PICTURE, 0.0)
    account = ledger.settle()
    assert account.total == 2
    assert account.unexplained == {(PICTURE, UNANSWERED): 1}
    assert len(account.complaints) == 1


def test_an_end_comes_once() -> None:
    ledger = Ledger()
    entry = ledger.begin(PICTURE, 0.0)
    ledger.end(entry, OK)
    with pytest.raises(KeyError):
        ledger.end(entry, OK)


@pytest.mark.parametrize("outcome", [CUT, "500 internal-error", "503"])
def test_what_is_not_of_its_kind_is_unexplained(outcome: str) -> None:
    ledger = Ledger()
    booked(ledger, PICTURE, outcome)
    account = ledger.settle()
    assert account.unexplained == {(PICTURE, outcome): 1}
    assert outcome in account.complaints[0]


def test_a_kill_explains_what_it_may_have_cut_and_no_more() -> None:
    ledger = Ledger(connections=1)
    early = ledger.begin(PICTURE, 0.0)
    ledger.end(early, CUT)
    entries = [ledger.begin(PICTURE, 0.0) for _ in range(2)]
    ledger.kill("engine")
    kill = ledger.kill("http")
    for entry in entries:
        ledger.end(entry, CUT)
    kill.until = entries[-1].closed
    late = ledger.begin(PICTURE, entries[-1].closed + 1)
    ledger.end(late, CUT)
    account = ledger.settle()
    assert account.by_kills == {(PICTURE, CUT): 2}
    assert account.unexplained == {(PICTURE, CUT): 2}
    assert "cut 2 requests, and 1 connections" in "".join(account.complaints)


@pytest.mark.parametrize("outcome", ["503", "503 not-ready"])
def test_only_a_killed_engine_explains_that_it_is_not_ready(outcome: str) -> None:
    for role, explained in (("engine", True), ("http", False)):
        ledger = Ledger()
        ledger.kill(role)
        booked(ledger, PROBE, outcome)
        assert (not ledger.settle().complaints) == explained


def samples(
    requests: int,
    status: str = "200",
    busy: int = 0,
    reloads: int = 0,
    route: str = "/predict",
) -> Samples:
    labels = frozenset({("route", route), ("status", status)})
    return {
        ("requests_total", labels): requests,
        ("in_flight", frozenset()): busy,
        ("images_in_flight", frozenset()): 0,
        ("reloads_total", frozenset({("result", "ok")})): reloads,
    }


def test_the_metrics_must_tell_of_the_same_requests() -> None:
    ledger = Ledger()
    for outcome in (OK, OK, LEFT):
        booked(ledger, PICTURE, outcome)
    before = samples(10)
    assert compare(before, samples(13), ledger, {}) == []
    assert compare(before, samples(12), ledger, {})  # one was not counted
    assert compare(before, samples(14), ledger, {})  # one was counted twice
    assert compare(before, {**samples(11), **samples(2, "499")}, ledger, {})  # another status
    assert compare(before, samples(13, busy=1), ledger, {}) == ["in_flight is 1 at rest"]
    assert compare(before, samples(13), ledger, {"ok": 1})
    assert compare(before, samples(13, reloads=1), ledger, {"ok": 1}) == []
    ledger.connections = 1
    ledger.kill("http")
    assert compare(before, samples(12), ledger, {}) == []  # it went with who had it in hand
    assert compare(before, samples(11), ledger, {})


def test_what_is_no_request_must_be_counted_by_its_code() -> None:
    def counted(refused: int) -> Samples:
        reason = frozenset({("reason", "bad-request")})
        return {**samples(0), ("rejections_total", reason): refused}

    ledger = Ledger()
    for outcome in ("400 bad-request", "400 bad-request", CUT):
        booked(ledger, NO_HTTP, outcome)
    for more in (2, 3):  # which of the two, nobody can tell of the one that was cut
        assert compare(counted(5), counted(5 + more), ledger, {}) == []
    for more in (1, 4):
        (complaint,) = compare(counted(5), counted(5 + more), ledger, {})
        assert complaint == f"2 heads were refused as bad-request, the metrics have {more}"


def test_every_request_of_a_flood_must_be_counted() -> None:
    ledger = Ledger(connections=1)
    booked(ledger, FLOOD, OK)
    assert compare(samples(0, route="/flood"), samples(50, route="/flood"), ledger, {}) == []
    assert compare(samples(0, route="/flood"), samples(49, route="/flood"), ledger, {})
    ledger.kill("http")
    assert compare(samples(0, route="/flood"), samples(1, route="/flood"), ledger, {}) == []
    booked(ledger, FLOOD, OK)
    assert compare(samples(0, route="/flood"), samples(49, route="/flood"), ledger, {})


def test_what_stands_behind_an_answer_that_is_not_read_may_not_be_begun() -> None:
    ledger = Ledger()
    booked(ledger, UNREAD, LEFT)
    for begun, wrong in ((0, True), (1, False), (4, False), (5, True)):
        after = samples(begun, route="/flood")
        assert bool(compare(samples(0, route="/flood"), after, ledger, {})) == wrong


def test_memory_over_what_is_promised_is_told_with_figures() -> None:
    rest = START + OTHER_MODEL + NOISE
    assert Figures(START, rest + IN_FLIGHT, rest).complaints(IN_FLIGHT) == []
    at_peak, at_rest = Figures(START, rest + IN_FLIGHT + 10**6, rest + 10**6).complaints(IN_FLIGHT)
    assert at_peak.startswith("at its peak it took 601 MB, where 600 are promised")
    assert at_rest.startswith("at rest it took 281 MB, where 280 are promised")


def test_a_peak_is_seen_that_is_over_before_anybody_looks() -> None:
    memory = Memory(lambda: [os.getpid()])
    much = bytearray(b"x") * LARGE * 20
    size = len(much)
    del much
    figures = memory.at_rest()
    assert figures.peak > figures.start + size // 2
    assert figures.rest < figures.start + size // 2


@pytest.mark.parametrize("grown", ["memory", "descriptors", "threads"])
def test_what_grows_is_told_by_its_name(grown: str) -> None:
    flat = Sample(memory=200_000_000, descriptors=50, threads=20)
    assert growths(trends([flat] * 40)) == []
    values = vars(flat)
    rising = [Sample(**{**values, grown: values[grown] * (40 + k) // 40}) for k in range(40)]
    (complaint,) = growths(trends(rising))
    assert complaint.startswith(grown)


def test_too_short_a_run_is_no_proof() -> None:
    with pytest.raises(ValueError, match="too few"):
        trends([Sample(1, 1, 1)] * 15)


class Wrong(socketserver.BaseRequestHandler):
    """Fails, is silent, or hangs up, in turn."""

    turn = 0

    def handle(self) -> None:
        self.request.recv(65536)
        Wrong.turn += 1
        if Wrong.turn % 3 == 0:
            self.request.sendall(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        elif Wrong.turn % 3 == 1:
            self.request.sendall(b"What?\r\n\r\n")


class Generous(socketserver.BaseRequestHandler):
    """Has much to say, and knows who did not listen."""

    unheard = 0

    def handle(self) -> None:
        self.request.recv(65536)
        try:
            self.request.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE + bytes(LARGE)
            )
        except OSError:
            Generous.unheard += 1


@contextmanager
def answering(handler: type[socketserver.BaseRequestHandler]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_a_service_that_fails_is_found_out_and_every_request_is_accounted_for() -> None:
    ledger = Ledger()
    with answering(Wrong) as port:
        clients = Clients(port, [PICTURE], ledger, count=2, seed=1)
        await clients.run(lambda: ledger.sent.total() > ENOUGH)
    account = ledger.settle()
    outcomes = {outcome for _, outcome in account.unexplained}
    assert outcomes == {"500", "no HTTP", CUT}
    assert account.total == ledger.sent[PICTURE] > ENOUGH


async def test_who_reads_slowly_gets_all_of_it_and_who_never_reads_has_left() -> None:
    ledger = Ledger()
    with answering(Generous) as port:
        clients = Clients(port, [SLOW, NEVER], ledger, count=4, seed=1)
        await clients.run(lambda: len(ledger.expected) == 2)
    assert ledger.settle().complaints == []
    assert Generous.unheard == ledger.expected[NEVER, LEFT]


class Pipelined(socketserver.BaseRequestHandler):
    """Answers one time in two that something failed in a flood."""

    turn = 0

    def handle(self) -> None:
        self.request.recv(65536)
        Pipelined.turn += 1
        good = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
        last = good.replace(b"200 OK", b"500 No") if Pipelined.turn % 2 else good
        self.request.sendall(good * 49 + last)


async def test_a_flood_ends_well_where_all_of_it_does() -> None:
    ledger = Ledger()
    with answering(Pipelined) as port:
        clients = Clients(port, [FLOOD], ledger, count=1, seed=1)
        await clients.run(lambda: ledger.sent.total() == 4)
    account = ledger.settle()
    assert account.expected == {(FLOOD, OK): 2}
    assert account.unexplained == {(FLOOD, "200 and 500"): 2}


def soaked(minutes: float, *flags: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "soak", "--minutes", str(minutes), "--json", *flags],
        cwd=ROOT,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=minutes * 60 + 600,
    )


@pytest.mark.accept
def test_a_service_that_keeps_what_it_refuses_does_not_stand_it() -> None:
    done = soaked(0.1, "--workers", "0", **leaking.environment())
    assert done.returncode == 1, done.stdout + done.stderr
    (result,) = json.loads(done.stdout)
    wrong = "".join(result["wrong"])
    assert "at its peak it took" in wrong or "at rest it took" in wrong, wrong


@pytest.mark.accept
def test_the_service_stands_a_minute_of_everything() -> None:
    done = soaked(MINUTES)
    assert done.returncode == 0, done.stdout + done.stderr
    one, several = json.loads(done.stdout)
    for result in (one, several):
        assert result["wrong"] == []
        assert result["requests"] > 500
        assert result["reloads"]["ok"] > 1
        assert result["reloads"]["refused"] >= 1
        told = {(row["kind"], row["outcome"]) for row in result["rows"]}
        assert len({kind for kind, _ in told}) > 15
        assert {("tensors", OK), ("slow reader", OK), ("never read", LEFT)} < told
        assert {("flood", OK), ("unread flood", LEFT), ("endless image", CUT_SHORT)} < told
        assert 0 < result["memory"]["start"] < result["memory"]["peak"]
        assert result["memory"]["rest"] < result["memory"]["peak"]
    assert one["kills"] == {"engine": 0, "http": 0}
    assert min(several["kills"].values()) >= 1
