"""How an answer is written: one write, the right length, one head."""

from collections.abc import Mapping

import httpx
import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.serving.readiness import Readiness
from support.live import served
from support.wire import Wire, head


class Answer(Response):
    """An answer whose head says what a test wants."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        super().__init__(b"hello")
        self.raw_headers = list(headers.items())


def told(app: ASGIApp, method: str = "GET") -> bytes:
    """All that comes back before the connection ends."""
    with served(app, Readiness()) as url, Wire(url) as wire:
        return wire.send(head(method, "/", "Connection: close")).rest()


def test_head_and_body_are_sent_in_one_write() -> None:
    with served(Response(b"hello"), Readiness()) as url, Wire(url) as wire:
        piece = wire.send(head("GET", "/")).socket.recv(65536)
    assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
    assert piece.endswith(b"\r\ncontent-length: 5\r\n\r\nhello")


def test_an_answer_without_a_length_is_chunked() -> None:
    answer = told(StreamingResponse(iter([b"hel", b"", b"lo"])))
    assert b"\r\ntransfer-encoding: chunked\r\n" in answer
    assert answer.endswith(b"\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")


def test_the_answer_to_head_has_no_body() -> None:
    answer = told(Response(b"hello"), "HEAD")
    assert b"\r\ncontent-length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/class-names", "/docs", "/openapi.json", "/v2/health/ready"]
)
def test_head_is_answered_as_get_without_the_body(client: httpx.Client, path: str) -> None:
    whole, bare = client.get(path), client.head(path)
    assert whole.status_code == bare.status_code == 200
    assert bare.headers["content-length"] == str(len(whole.content))
    assert bare.headers["content-type"] == whole.headers["content-type"]
    assert bare.content == b""
    assert client.get(path).content == whole.content  # nothing was left on the connection


def test_head_of_a_streamed_answer_ends_with_the_headers(client: httpx.Client) -> None:
    assert client.head("/random-image").headers["content-type"] == "image/jpeg"
    assert client.get("/livez").json() == {"status": "alive"}


def test_head_of_a_post_route_is_refused(client: httpx.Client) -> None:
    answer = client.head("/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_an_answer_without_content_has_neither_length_nor_chunks() -> None:
    answer = told(Response(status_code=204))
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert b"content-length" not in answer
    assert b"chunked" not in answer


@pytest.mark.parametrize(
    "headers",
    [
        {b"content-length": b"4"},
        {b"content-length": b"6"},
        {b"content-length": b"5", b"x-class": b"a\r\nset-cookie: b"},
        {b"content-length": b"5", b"x-class": b"a\nset-cookie: b"},
    ],
    ids=["too short", "too long", "CRLF", "LF"],
)
def test_an_ambiguous_answer_is_not_sent(headers: Mapping[bytes, bytes]) -> None:
    assert told(Answer(headers)) == b""


def test_nothing_is_sent_after_the_end_of_an_answer() -> None:
    async def twice(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(2):
            await Response(b"hello")(scope, receive, send)

    assert told(twice).count(b"hello") == 1
