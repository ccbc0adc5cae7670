"""Clients that disconnect while they wait, and malformed bodies."""

import socket

import pytest

from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.live import Live
from support.make_images import jpeg
from support.problems import problem_of
from support.scrapes import sample, scrape
from support.tensors import asking, binary, infer
from support.waiting import SECONDS, until
from support.wire import Wire, exchange, head, post

DARK, LIGHT = jpeg(5), jpeg(250)
INFERRED = "/v2/models/{name}/infer"
LARGE = LIGHT.ljust(94_000, b"\0")  # more than is read ahead of whoever takes it
BEHIND = head("GET", "/livez")
CHUNKED = "Transfer-Encoding: chunked"
BATCH = form(part(DARK), *[part(LIGHT)] * 5)


def batch() -> bytes:
    """A whole request."""
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(BATCH)}")
    return head("POST", "/predict/batch", *lines) + BATCH


@pytest.mark.parametrize(
    "sent",
    [post(LARGE), post(LIGHT) + BEHIND, post(LARGE) + BEHIND, post(LIGHT) + post(LARGE)],
    ids=["large", "one behind", "large, one behind", "a large one behind"],
)
def test_nothing_is_computed_for_a_disconnected_client(
    held_server: Live, held_engine: HeldEngine, sent: bytes
) -> None:
    with Wire(held_server.url) as first:
        first.send(post(DARK))
        assert held_engine.busy.wait(SECONDS)
        with Wire(held_server.url) as leaver:
            body = sent.index(b"\r\n\r\n") + 4
            leaver.send(sent[:body])
            assert exchange(held_server.url, BEHIND).status == 200  # and the body is waited for
            leaver.send(sent[body:])
            until(lambda: held_server.service.admission.pictures == 2)
        assert exchange(held_server.url, BEHIND).status == 200  # it has seen the other's end
        held_engine.release.set()
        assert first.answer().status == 200
        assert first.send(post(DARK)).answer().status == 200  # whatever was queued has run
    assert held_engine.calls == 2


def test_the_images_of_a_disconnected_client_are_not_read_on(held_server: Live) -> None:
    images = 1000
    asked = asking(binary("pixels", "UINT8", [images, 1, 1, 3], 3 * images))
    for _ in range(10):
        with Wire(held_server.url) as leaver:
            leaver.send(infer(asked, bytes(3 * images)))
    with held_server.client() as client:
        until(lambda: sample(scrape(client), "requests_total", route=INFERRED, status="499") == 10)
        assert sample(scrape(client), "upload_bytes_count") < 10 * images


def test_a_client_that_closes_its_sending_side_counts_as_disconnected(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as wire:
        wire.send(post(DARK))
        assert held_engine.busy.wait(SECONDS)
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.rest() == b""


def test_a_disconnect_during_a_batch_with_a_pipelined_request_is_no_error(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as wire:
        wire.send(batch() + BEHIND)
        assert held_engine.busy.wait(SECONDS)
    assert exchange(held_server.url, BEHIND).status == 200  # it has seen the other's end
    held_engine.release.set()
    until(lambda: held_server.service.admission.bytes_in_flight == 0)
    assert held_engine.calls == 1
    with held_server.client() as client:
        assert "internal-error" not in client.get("/metrics").text


def test_nothing_follows_half_an_answer_to_a_malformed_body(
    held_server: Live, held_engine: HeldEngine
) -> None:
    held_engine.release.set()
    lines = (f"Content-Type: {FORM}", CHUNKED)
    begun = part(DARK) + part(LIGHT)[:100]
    with Wire(held_server.url) as wire:
        wire.send(head("POST", "/predict/batch", *lines) + b"%x\r\n%b\r\n" % (len(begun), begun))
        while b'"grey-0"' not in wire.line():
            pass
        wire.send(b"zz\r\n")
        assert wire.rest() == b"\r\n"  # the end of the line's own chunk
        until(lambda: held_server.service.admission.bytes_in_flight == 0)


def test_a_pipelined_request_with_a_malformed_body_is_refused_in_order(
    held_server: Live, held_engine: HeldEngine
) -> None:
    with Wire(held_server.url) as wire:
        broken = head("POST", "/predict", "Content-Type: image/jpeg", CHUNKED) + b"1\r\nx\r\nzz\r\n"
        wire.send(post(DARK) + broken)
        assert held_engine.busy.wait(SECONDS)
        held_engine.release.set()
        assert wire.answer().status == 200
        answer = wire.answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "bad-request"
        assert wire.closed()
