"""Clients that leave while they wait, and bodies that break midway: nothing is done for nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.live import Live, engine_of, live, make_service
from support.pictures import jpeg
from support.problems import problem_of
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post

DARK, LIGHT = jpeg(5), jpeg(250)
LARGE = LIGHT.ljust(94_000, b"\0")  # more than is read ahead of whoever takes it
BEHIND = head("GET", "/livez")
CHUNKED = "Transfer-Encoding: chunked"
BATCH = form(part(DARK), *[part(LIGHT)] * 5)


@pytest.fixture
def engine(fake_bundle: Path) -> HeldEngine:
    return engine_of(HeldEngine, fake_bundle).hold()


@pytest.fixture
def server(fake_bundle: Path, engine: HeldEngine) -> Iterator[Live]:
    """One thread, which answers when the test lets it."""
    with live(make_service(fake_bundle, engine)) as server:
        yield server
        engine.release.set()


def batch() -> bytes:
    """A whole request."""
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(BATCH)}")
    return head("POST", "/predict/batch", *lines) + BATCH


@pytest.mark.parametrize(
    "sent",
    [post(LARGE), post(LIGHT) + BEHIND, post(LARGE) + BEHIND, post(LIGHT) + post(LARGE)],
    ids=["large", "one behind", "large, one behind", "a large one behind"],
)
def test_whoever_leaves_is_worked_for_no_more(
    server: Live, engine: HeldEngine, sent: bytes
) -> None:
    with Wire(server.url) as first:
        first.send(post(DARK))
        assert engine.busy.wait(SECONDS)
        with Wire(server.url) as leaver:
            body = sent.index(b"\r\n\r\n") + 4
            leaver.send(sent[:body])
            assert exchange(server.url, BEHIND).status == 200  # and the body is waited for
            leaver.send(sent[body:])
            until(lambda: server.service.admission.pictures == 2)
        assert exchange(server.url, BEHIND).status == 200  # it has seen the other's end
        engine.release.set()
        assert first.answer().status == 200
        assert first.send(post(DARK)).answer().status == 200  # whatever was queued has run
    assert engine.calls == 2


def test_a_batch_with_a_request_behind_it_is_left_without_an_error(
    server: Live, engine: HeldEngine
) -> None:
    with Wire(server.url) as wire:
        wire.send(batch() + BEHIND)
        assert engine.busy.wait(SECONDS)
    assert exchange(server.url, BEHIND).status == 200  # it has seen the other's end
    engine.release.set()
    until(lambda: server.service.admission._bytes.used == 0)
    assert engine.calls == 1
    with server.client() as client:
        assert "internal-error" not in client.get("/metrics").text


def test_nothing_follows_half_an_answer_to_a_body_that_breaks(
    server: Live, engine: HeldEngine
) -> None:
    engine.release.set()
    lines = (f"Content-Type: {FORM}", CHUNKED)
    begun = part(DARK) + part(LIGHT)[:100]
    with Wire(server.url) as wire:
        wire.send(head("POST", "/predict/batch", *lines) + b"%x\r\n%b\r\n" % (len(begun), begun))
        while b'"grey-0"' not in wire.line():
            pass
        wire.send(b"zz\r\n")
        assert wire.rest() == b"\r\n"  # the end of the line's own chunk
        until(lambda: server.service.admission._bytes.used == 0)


def test_a_request_behind_another_whose_body_breaks_is_refused_in_its_turn(
    server: Live, engine: HeldEngine
) -> None:
    with Wire(server.url) as wire:
        broken = head("POST", "/predict", "Content-Type: image/jpeg", CHUNKED) + b"1\r\nx\r\nzz\r\n"
        wire.send(post(DARK) + broken)
        assert engine.busy.wait(SECONDS)
        engine.release.set()
        assert wire.answer().status == 200
        answer = wire.answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "bad-request"
        assert wire.closed()
