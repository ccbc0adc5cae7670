"""What HTTP/1.1 allows clients on a connection."""

from pathlib import Path

import pytest

from greengrocer.web.schemas import Prediction, PredictionLine
from support.engines import HeldEngine
from support.forms import FORM, form, part
from support.live import engine_of, live, make_service
from support.make_images import jpeg
from support.problems import problem_of
from support.servers import Server
from support.wire import Wire, WireAnswer, exchange, head, post

DARK, LIGHT = jpeg(5), jpeg(250)
CHUNKED = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")


def told(answer: WireAnswer) -> str:
    """The class that an answer names."""
    assert answer.status == 200, answer.body
    return Prediction.model_validate_json(answer.body).prediction


def test_a_connection_serves_several_requests(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        for _ in range(3):
            assert told(wire.send(post(DARK)).answer()) == "grey-0"
            assert told(wire.send(post(LIGHT)).answer()) == "grey-9"
            assert wire.send(head("GET", "/livez")).answer().status == 200


def test_pipelined_requests_are_answered_in_order(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        wire.send(post(DARK) + head("GET", "/livez") + post(LIGHT) + head("GET", "/nope"))
        assert told(wire.answer()) == "grey-0"
        assert wire.answer().body == b'{"status":"alive"}'
        assert told(wire.answer()) == "grey-9"
        assert wire.answer().status == 404


def test_a_large_image_may_share_packets_with_the_next_head(fake_server: Server) -> None:
    large = DARK.ljust(300_000, b"\0")
    with Wire(fake_server.url) as wire:
        wire.send(post(large) + head("GET", "/livez")[:-2])
        assert told(wire.answer()) == "grey-0"
        assert wire.send(b"\r\n").answer().status == 200


def test_a_pipelined_body_may_arrive_after_the_previous_answer(fake_server: Server) -> None:
    request = post(LIGHT)
    cut = len(request) - 100
    with Wire(fake_server.url) as wire:
        wire.send(head("GET", "/livez") + request[:cut])
        assert wire.answer().status == 200
        assert told(wire.send(request[cut:]).answer()) == "grey-9"


def test_garbage_after_a_request_does_not_overtake_its_answer(fake_bundle: Path) -> None:
    engine = engine_of(HeldEngine, fake_bundle).hold()
    with live(make_service(fake_bundle, engine)) as server, Wire(server.url) as wire:
        wire.send(post(DARK) + b"garbage\r\n\r\n")
        assert engine.busy.wait(60)
        engine.release.set()
        assert told(wire.answer()) == "grey-0"
        assert wire.answer().status == 400
        assert wire.closed()


def test_a_body_may_arrive_in_one_byte_chunks_with_extensions(fake_server: Server) -> None:
    chunks = b"".join(b'1;name="value";x\r\n%c\r\n' % byte for byte in LIGHT)
    with Wire(fake_server.url) as wire:
        wire.send(head("POST", "/predict", *CHUNKED) + chunks + b"0\r\n\r\n")
        assert told(wire.answer()) == "grey-9"


def test_trailers_are_dropped(fake_server: Server) -> None:
    body = b"%x\r\n%b\r\n0\r\nX-Request-Id: smuggled\r\n\r\n" % (len(LIGHT), LIGHT)
    with Wire(fake_server.url) as wire:
        answer = wire.send(head("POST", "/predict", *CHUNKED) + body).answer()
        assert told(answer) == "grey-9"
        assert answer.headers["x-request-id"] != "smuggled"
        assert wire.send(head("GET", "/livez")).answer().status == 200


@pytest.mark.parametrize("chunk", [b"zz\r\nx\r\n", b"-1\r\nx\r\n", b"1\r\nxyz\r\n"])
def test_a_malformed_chunk_is_a_problem_document(fake_server: Server, chunk: bytes) -> None:
    with Wire(fake_server.url) as wire:
        wire.send(head("POST", "/predict", *CHUNKED) + chunk)
        answer = wire.answer()
        assert problem_of(answer.status, answer.headers, answer.body).code == "bad-request"
        assert wire.closed()


@pytest.mark.parametrize("keep", [(), ("Connection: keep-alive",)])
def test_http_1_0_is_answered_and_closed(fake_server: Server, keep: tuple[str, ...]) -> None:
    with Wire(fake_server.url) as wire:
        answer = wire.send(head("GET", "/livez", *keep, version="1.0")).answer()
        assert answer.status == 200
        assert wire.closed()


@pytest.mark.parametrize("keep", [(), ("Connection: keep-alive",)])
def test_a_stream_for_http_1_0_has_no_chunks_and_ends_with_the_connection(
    fake_server: Server, keep: tuple[str, ...]
) -> None:
    body = form(part(DARK), part(LIGHT))
    lines = (f"Content-Type: {FORM}", f"Content-Length: {len(body)}", *keep)
    with Wire(fake_server.url) as wire:
        wire.send(head("POST", "/predict/batch", *lines, version="1.0") + body)
        start, _, streamed = wire.rest().partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in start.lower()
    assert b"connection: close" in start.lower()
    told = [PredictionLine.model_validate_json(line) for line in streamed.splitlines()]
    assert [line.prediction for line in told] == ["grey-0", "grey-9"]


def test_a_target_may_be_absolute(fake_server: Server) -> None:
    answer = exchange(fake_server.url, head("GET", f"{fake_server.url}/livez?x=1"))
    assert answer.body == b'{"status":"alive"}'


def test_connection_close_is_honoured(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        answer = wire.send(post(DARK, "Connection: close")).answer()
        assert told(answer) == "grey-0"
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_each_of_many_pipelined_requests_may_offer_an_upgrade(fake_server: Server) -> None:
    offer = ("Connection: Upgrade", "Upgrade: h2c")
    with Wire(fake_server.url) as wire:
        wire.send(head("GET", "/livez", *offer) * 1500 + post(LIGHT, *offer) + head("GET", "/nope"))
        assert {wire.answer().status for _ in range(1500)} == {200}
        assert told(wire.answer()) == "grey-9"
        assert wire.answer().status == 404


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_an_offered_upgrade_is_ignored(fake_server: Server, protocol: str) -> None:
    offer = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AA")
    with Wire(fake_server.url) as wire:
        assert wire.send(head("GET", "/livez", *offer)).answer().status == 200
        assert told(wire.send(post(LIGHT, *offer)).answer()) == "grey-9"
        request = post(DARK.ljust(200_000, b"\0"), *offer)
        wire.send(request[:150_000]).send(request[150_000:])
        assert told(wire.answer()) == "grey-0"
