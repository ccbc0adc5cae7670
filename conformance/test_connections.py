"""What clients do with their connections."""

import select

import pytest

from conformance.answers import prediction
from conformance.limits import SENDING
from conformance.photos import jpeg, plain
from conformance.wire import SECONDS, Wire, exchange, head, post

pytestmark = pytest.mark.wire
DARK, LIGHT = jpeg(plain(5)), jpeg(plain(250))


def test_a_connection_serves_request_after_request(base_url: str) -> None:
    with Wire(base_url) as wire:
        for _ in range(10):
            assert wire.send(post(DARK)).answer().status == 200
            assert wire.send(head("GET", "/livez")).answer().status == 200


def test_pipelined_requests_are_answered_in_order(base_url: str) -> None:
    alone = [prediction(exchange(base_url, post(image))) for image in (DARK, LIGHT)]
    requests = [post(DARK), head("GET", "/nope"), post(LIGHT), head("GET", "/livez")]
    with Wire(base_url) as wire:
        wire.send(b"".join(requests * 20))
        for _ in range(20):
            assert prediction(wire.answer()) == alone[0]
            assert wire.answer().status == 404
            assert prediction(wire.answer()) == alone[1]
            assert wire.answer().status == 200


def test_a_request_may_come_byte_by_byte(base_url: str) -> None:
    with Wire(base_url) as wire:
        for byte in post(DARK):
            wire.send(bytes([byte]))
        assert wire.answer().status == 200


def test_whoever_stops_sending_is_answered_or_left(base_url: str) -> None:
    with Wire(base_url) as wire:
        wire.send(post(DARK)).half_close()
        assert wire.line() in (b"", b"HTTP/1.1 200 OK\r\n")


def test_whoever_stops_midway_is_left(base_url: str) -> None:
    for cut in (1, 30, -10):
        with Wire(base_url) as wire:
            wire.send(post(DARK)[:cut]).half_close()
            assert wire.line() in (b"", b"HTTP/1.1 400 Bad Request\r\n")


def test_five_hundred_who_leave_midway_are_forgotten(base_url: str) -> None:
    for _ in range(500):
        with Wire(base_url) as wire:
            wire.send(post(LIGHT)[:-1])
    assert exchange(base_url, post(LIGHT)).status == 200


def test_an_offered_upgrade_is_ignored(base_url: str) -> None:
    for protocol in ("h2c", "websocket"):
        offer = (
            "Connection: Upgrade, HTTP2-Settings",
            f"Upgrade: {protocol}",
            "HTTP2-Settings: AA",
        )
        with Wire(base_url) as wire:
            assert wire.send(head("GET", "/livez", *offer)).answer().status == 200
            assert wire.send(post(LIGHT, *offer)).answer().status == 200


def test_an_upgrade_may_be_offered_in_each_of_many_requests_sent_at_once(base_url: str) -> None:
    offer = head("GET", "/livez", "Connection: Upgrade", "Upgrade: h2c")
    with Wire(base_url) as wire:
        wire.send(offer * 2000 + head("GET", "/nope"))
        assert {wire.answer().status for _ in range(2000)} == {200}
        assert wire.answer().status == 404


def test_fifty_who_never_read_are_left(base_url: str) -> None:
    large = head("GET", "/docs/assets/swagger-ui-bundle.js") * 20  # more than the sockets hold
    readers = [Wire(base_url).send(large) for _ in range(50)]
    waiting = {reader.socket.fileno(): reader for reader in readers}
    poll = select.poll()
    for descriptor in waiting:
        poll.register(descriptor, 0)  # only its end is an event
    while waiting:
        left = poll.poll(4000 * SENDING)
        assert left, f"{len(waiting)} are kept"
        for descriptor, _ in left:
            poll.unregister(descriptor)
            waiting.pop(descriptor).close()


def test_two_hundred_idle_connections_delay_nobody(base_url: str) -> None:
    idle = [Wire(base_url, SECONDS) for _ in range(200)]
    try:
        assert exchange(base_url, head("GET", "/livez")).status == 200
        assert exchange(base_url, post(DARK)).status == 200
    finally:
        for wire in idle:
            wire.close()
