"""Clients that read their answers slowly or never."""

import select
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greengrocer.web.wire.protocol import WireLimits
from support.forms import FORM, form, part
from support.live import live, make_service
from support.waiting import SECONDS
from support.wire import Wire, head

LARGE = head("GET", "/docs/assets/swagger-ui-bundle.js")
MANY = 20  # answers: more than the sockets hold
LINES = 40_000  # of an answer, which are more, too
LAST = head("GET", "/livez", "Connection: close")


@pytest.fixture(scope="module")
def url(fake_bundle: Path) -> Iterator[str]:
    """A server that gives its readers a second."""
    service = make_service(fake_bundle)
    many = replace(service.upload_limits, images=LINES)
    with live(replace(service, upload_limits=many), WireLimits(send_seconds=1)) as server:
        yield server.url


def hung_up(wire: Wire) -> bool:
    """Wait, without reading, until the other side has gone."""
    poll = select.poll()
    poll.register(wire.socket, 0)
    return bool(poll.poll(SECONDS * 1000))


@pytest.mark.parametrize("sent", [LARGE * MANY, LARGE * MANY + LAST, LARGE * MANY + b"garbage"])
def test_a_client_that_reads_nothing_is_disconnected(url: str, sent: bytes) -> None:
    with Wire(url) as wire:
        assert hung_up(wire.send(sent))


@pytest.mark.accept
def test_a_client_that_sends_a_whole_batch_before_reading_is_waited_for(url: str) -> None:
    body = form(*[part(b"")] * LINES)
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}", "Connection: close")
    with Wire(url) as wire:
        wire.send(head("POST", "/predict/batch", *lines, f"X-Request-Id: {'x' * 128}") + body[:-1])
        time.sleep(4)  # of which one is all that a reader has
        assert wire.send(body[-1:]).rest().count(b"empty-image") >= LINES


def test_a_slow_reader_gets_the_whole_answer(url: str) -> None:
    with Wire(url) as wire:
        wire.send(LARGE * MANY + LAST)
        for _ in range(MANY):
            time.sleep(0.1)  # twice the server's patience in all
            assert wire.answer().status == 200
        assert wire.answer().status == 200
