"""The limits of a body, however it is sent."""

import json

import pytest

from conformance.answers import outcome, refused
from conformance.limits import BODY
from conformance.photos import jpeg, plain
from conformance.wire import Wire, chunked, exchange, head, post

PICTURE = jpeg(plain(100))
FITS = PICTURE.ljust(BODY, b"\0")
OVER = FITS + b"\0"
CODING = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")


def test_a_declared_length_may_reach_the_limit(base_url: str) -> None:
    assert outcome(exchange(base_url, post(FITS))) == "ok"


@pytest.mark.wire
def test_one_byte_more_is_refused_before_it_comes(base_url: str) -> None:
    declared = head("POST", "/predict", "Content-Type: image/jpeg", f"Content-Length: {BODY + 1}")
    assert refused(exchange(base_url, declared)) == "too-many-bytes"


def test_whoever_sends_too_much_all_the_same_sees_the_answer(base_url: str) -> None:
    assert refused(exchange(base_url, post(OVER))) == "too-many-bytes"


def test_chunks_may_reach_the_limit(base_url: str) -> None:
    assert outcome(exchange(base_url, chunked(FITS, 1 << 20))) == "ok"


@pytest.mark.wire
def test_chunks_are_refused_as_soon_as_they_are_too_many(base_url: str) -> None:
    endless = chunked(OVER, 1 << 20).removesuffix(b"0\r\n\r\n")
    assert refused(exchange(base_url, endless)) == "too-many-bytes"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_chunks_may_be_small(base_url: str, size: int) -> None:
    assert outcome(exchange(base_url, chunked(PICTURE, size))) == "ok"


@pytest.mark.parametrize(
    "kind",
    [
        *("image/jpg", "image/pjpeg", "image/x-png", "image/*", "application/octet-stream"),
        *("binary/octet-stream", "Image/JPEG; charset=x", ""),
    ],
)
def test_the_type_of_an_image_is_not_looked_at(base_url: str, kind: str) -> None:
    request = post(PICTURE, kind=kind)
    assert outcome(exchange(base_url, request)) == "ok"
    untyped = request.replace(f"Content-Type: {kind}\r\n".encode(), b"")
    assert outcome(exchange(base_url, untyped)) == "ok"


@pytest.mark.parametrize(
    "kind",
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed"],
)
def test_a_body_that_says_it_is_no_image_is_told_what_to_send(base_url: str, kind: str) -> None:
    answer = exchange(base_url, post(PICTURE, kind=kind))
    assert (answer.status, refused(answer)) == (415, "unsupported-content-type")
    assert "multipart/form-data" in json.loads(answer.body)["detail"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_a_body_where_none_belongs_is_read_past(base_url: str, method: str) -> None:
    request = post(PICTURE, target="/livez").replace(b"POST", method.encode(), 1)
    with Wire(base_url) as wire:
        assert wire.send(request).answer().status == (200 if method == "GET" else 405)


@pytest.mark.wire
@pytest.mark.parametrize(
    "chunk",
    [
        b"zz\r\nx\r\n",
        b"-1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b" 1\r\nx\r\n",
        b"\r\nx\r\n",
        b"1\r\nxyz\r\n",
        b"1\nx\n",
        b"1\r\nx",
        b"1;a\nx\r\nx\r\n",
        b"1;\0\r\nx\r\n",
        b"1\rx\r\n",
        b"ffffffffffffffff1\r\nx\r\n",
        b"fffffffffffffffff\r\nx\r\n",
    ],
    ids=repr,
)
def test_a_malformed_chunk_is_refused(base_url: str, chunk: bytes) -> None:
    with Wire(base_url) as wire:
        wire.send(
            head("POST", "/predict", *CODING) + chunk + b"0\r\n\r\n" + b"GET / HTTP/1.1\r\n\r\n"
        )
        assert refused(wire.answer()) == "bad-request"
        assert wire.closed()


@pytest.mark.wire
@pytest.mark.parametrize("piece", [b"1;", b"0\r\nX: "], ids=["extension", "trailer"])
def test_what_goes_with_a_chunk_is_bounded(base_url: str, piece: bytes) -> None:
    endless = head("POST", "/predict", *CODING) + piece + b"x" * 5_000_000
    assert exchange(base_url, endless).status in (400, 431)
