"""Limits of a request's head, each reached and exceeded, and heads that must be refused."""

import pytest

from conformance.answers import outcome, problem, refused
from conformance.forms import FORM
from conformance.limits import BODY, HEADER_BYTES, HEADERS, URL
from conformance.photos import jpeg, plain
from conformance.tensors import LENGTH, model
from conformance.wire import Wire, exchange, head, post

pytestmark = pytest.mark.wire
PICTURE = jpeg(plain(100))
FIXED = len("Host" + "test")  # bytes of the header that every request here has
CHUNKED = "Transfer-Encoding: chunked"
BEHIND = "GET /class-names HTTP/1.1\r\nHost: test\r\n\r\n"  # what a proxy would not have seen


def refusal_code(url: str, request: bytes) -> str:
    """The code of the refusal, after which nothing more may be answered."""
    with Wire(url) as wire:
        answer = wire.send(request).answer()
        assert answer.headers["connection"] == "close"
        assert wire.closed()
    return refused(answer)


def named(version: str, *hosts: str) -> bytes:
    """A request that names these hosts."""
    lines = [f"GET /livez HTTP/{version}", *[f"Host: {host}" for host in hosts], "", ""]
    return "\r\n".join(lines).encode("latin-1")


def test_as_many_headers_as_the_limit_are_accepted(base_url: str) -> None:
    headers = [f"X-{k}: y" for k in range(HEADERS - 1)]
    assert exchange(base_url, head("GET", "/livez", *headers)).status == 200


def test_one_header_more_is_refused(base_url: str) -> None:
    headers = [f"X-{k}: y" for k in range(HEADERS)]
    assert refusal_code(base_url, head("GET", "/livez", *headers)) == "head-too-large"


def test_headers_as_large_as_the_limit_are_accepted(base_url: str) -> None:
    value = "y" * (HEADER_BYTES - FIXED - len("X"))
    assert exchange(base_url, head("GET", "/livez", f"X: {value}")).status == 200


def test_headers_one_byte_larger_are_refused(base_url: str) -> None:
    value = "y" * (HEADER_BYTES - FIXED - len("X") + 1)
    assert refusal_code(base_url, head("GET", "/livez", f"X: {value}")) == "head-too-large"


def test_a_path_as_long_as_the_limit_is_accepted(base_url: str) -> None:
    assert exchange(base_url, head("GET", "/livez?".ljust(URL, "x"))).status == 200


def test_a_path_one_byte_longer_is_refused(base_url: str) -> None:
    assert refusal_code(base_url, head("GET", "/livez?".ljust(URL + 1, "x"))) == "uri-too-long"


@pytest.mark.parametrize(
    ("begun", "code"),
    [
        (b"GET /", "uri-too-long"),
        (b"GET / HTTP/1.1\r\nX: ", "head-too-large"),
        (b"GET / HTTP/1.1\r\nX", "head-too-large"),
        (b"A", "bad-request"),
    ],
    ids=["path", "value", "name", "method"],
)
def test_an_endless_line_is_refused_while_it_is_being_sent(
    base_url: str, begun: bytes, code: str
) -> None:
    assert refusal_code(base_url, begun + b"x" * 5_000_000) == code


@pytest.mark.parametrize(
    "request_line",
    [
        "GET /livez HTTP/9.9",
        "GET /livez HTTP/1.1 HTTP/1.1",
        "GET",
        "/livez",
        "NONE /livez HTTP/1.1",
        "GET /livez\0 HTTP/1.1",
        "PRI * HTTP/2.0",
        "CONNECT a.example:443 HTTP/1.1",
        "CONNECT /predict HTTP/1.1",
        "\x16\x03\x01\x02\x00\x01",
    ],
)
def test_an_invalid_request_line_is_refused(base_url: str, request_line: str) -> None:
    assert (
        refusal_code(base_url, f"{request_line}\r\nHost: test\r\n\r\n".encode("latin-1"))
        == "bad-request"
    )


@pytest.mark.parametrize(
    "headers",
    [
        ["no colon"],
        ["X : space before the colon"],
        [" X: folded"],
        ["X: y", " folded"],
        [": no name"],
        ["X: \0"],
        ["X: a\rb"],
        ["X\tY: z"],
        ["X: a\nY: b", "Z: c"],
        ["Content-Length: 1x"],
        ["Content-Length: -1"],
        ["Content-Length: +1"],
        ["Content-Length: 0x1"],
        ["Content-Length: 1, 1"],
        ["Content-Length: "],
        [f"Content-Length: {2**64}"],
        ["Content-Length: 1", "Content-Length: 2"],
        ["Content-Length: 1", "Content-Length: 1"],
        ["Content-Length: 6", CHUNKED],
        [CHUNKED, "Content-Length: 6"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding:\tgzip"],
        [CHUNKED, "Transfer-Encoding: identity"],
    ],
    ids=repr,
)
def test_an_ambiguous_head_is_refused_and_nothing_after_it_is_answered(
    base_url: str, headers: list[str]
) -> None:
    request = head("POST", "/predict", "Content-Type: image/jpeg", *headers)
    assert refusal_code(base_url, request + b"0\r\n\r\n" + BEHIND.encode()) == "bad-request"


@pytest.mark.parametrize(
    "codings", [["gzip, chunked"], ["gzip", "chunked"], ["deflate,identity,Chunked"]], ids=repr
)
def test_an_unknown_transfer_coding_is_refused(base_url: str, codings: list[str]) -> None:
    lines = [f"Transfer-Encoding: {coding}" for coding in codings]
    request = head("POST", "/predict", "Content-Type: image/jpeg", *lines)
    with Wire(base_url) as wire:
        answer = wire.send(request + b"0\r\n\r\n" + BEHIND.encode()).answer()
        assert (answer.status, problem(answer)) == (501, "unsupported-transfer-coding")
        assert wire.closed()


@pytest.mark.parametrize(
    "header",
    [
        *("Authorization: Bearer {}", "Content-Encoding: {}", "Content-Type: image/{}"),
        *(f"{LENGTH}: {{}}", "X-Deadline-Ms: {}000", "X-Split-Key: {}"),
    ],
)
def test_a_header_of_two_values_is_refused(base_url: str, header: str) -> None:
    request = head("POST", "/predict", *map(header.format, (1, 2)), "Content-Length: 0")
    assert refusal_code(base_url, request) == "bad-request"


@pytest.mark.parametrize(
    "hosts",
    [
        *([], ["a", "b"], ["a", "a"], ["a b"], ["a/b c"], ["a/b"], ["a@b"], ["a?"], ["a#"]),
        *(["[::1"], ["::1"], ["[]"], ["a:port"], ["a:1:2"], ["\xff"], ["a\\b"], ["http://a"]),
    ],
    ids=repr,
)
def test_a_bad_host_is_refused(base_url: str, hosts: list[str]) -> None:
    assert refusal_code(base_url, named("1.1", *hosts)) == "bad-request"


@pytest.mark.parametrize("hosts", [["a", "b"], ["a/b"]], ids=repr)
def test_a_bad_host_is_refused_in_http_1_0_too(base_url: str, hosts: list[str]) -> None:
    assert refusal_code(base_url, named("1.0", *hosts)) == "bad-request"


@pytest.mark.parametrize(
    "host",
    [
        *("", "a", "A.example", "a:80", "a:", "10.0.0.1:80", "[::1]", "[fe80::1]:80"),
        *("my_shop", "a%20b", "a "),
    ],
)
def test_any_valid_host_is_accepted(base_url: str, host: str) -> None:
    assert exchange(base_url, named("1.1", host)).status == 200


def test_http_1_0_needs_no_host(base_url: str) -> None:
    assert exchange(base_url, named("1.0")).status == 200


def test_a_length_of_thousands_of_digits_is_refused(base_url: str) -> None:
    length = f"Content-Length: {'0' * 5000}1"
    for target in ("/predict", "/predict/batch", f"{model(base_url)}/infer"):
        for kind in ("image/jpeg", FORM, "application/json"):
            request = head("POST", target, f"Content-Type: {kind}", length) + b"x"
            assert 400 <= exchange(base_url, request).status < 500


def test_the_host_header_is_never_repeated_in_an_answer(base_url: str) -> None:
    for path in ("/", "/docs", "/docs/", "/livez/", "/openapi.json", "/nope", "/predict/"):
        answer = exchange(base_url, head("GET", path, host="evil.example"))
        assert answer.status in (200, 404, 405)
        assert b"evil.example" not in answer.body
        assert "evil.example" not in str(answer.headers)


@pytest.mark.parametrize("wanted", ["bytes=0-", "bytes=" + ",".join(["0-1"] * 5000), "bytes=9-1"])
@pytest.mark.parametrize("path", ["/", "/random-image", "/openapi.json"])
def test_a_range_is_ignored_answered_or_refused(base_url: str, path: str, wanted: str) -> None:
    assert exchange(base_url, head("GET", path, f"Range: {wanted}")).status in (200, 206, 400, 416)


def test_expect_100_continue_is_answered(base_url: str) -> None:
    request = post(PICTURE, "Expect: 100-continue")
    body = request.index(b"\r\n\r\n") + 4
    with Wire(base_url) as wire:
        assert wire.send(request[:body]).line() == b"HTTP/1.1 100 Continue\r\n"
        assert wire.line() == b"\r\n"
        assert outcome(wire.send(request[body:]).answer()) == "ok"


def test_too_large_a_body_announced_with_expect_is_refused_at_once(base_url: str) -> None:
    length = f"Content-Length: {BODY + 1}"
    request = head("POST", "/predict", "Content-Type: image/jpeg", length, "Expect: 100-continue")
    with Wire(base_url) as wire:
        assert refused(wire.send(request).answer()) == "too-many-bytes"


def test_an_unknown_expectation_is_ignored_or_refused(base_url: str) -> None:
    answer = exchange(base_url, post(PICTURE, "Expect: the-unexpected"))
    assert answer.status in (200, 417)


def test_an_unknown_path_is_a_404(base_url: str) -> None:
    for path in ("/nope", "/livez/", "/%ff%00", "/..%2f..%2fetc/passwd", "//evil.example/"):
        answer = exchange(base_url, head("GET", path))
        assert (answer.status, problem(answer)) == (404, "not-found")
