"""The limits of uploads: a client over them gets the refusal, not a broken connection."""

import http.client
import subprocess
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from urllib.parse import urlsplit

import httpx
import pytest

from support.forms import FORM, form, part
from support.make_images import jpeg
from support.problems import problem_of
from support.servers import Server, start_server
from support.wire import Wire, exchange, head, post

MOST = 100_000  # bytes
FITS = jpeg(100).ljust(MOST, b"\0")
OVER = FITS + b"\0"
JPEG = {"Content-Type": "image/jpeg"}
CHUNKED = ("Content-Type: image/jpeg", "Transfer-Encoding: chunked")
HUGE = bytes(30_000_000)


@pytest.fixture(scope="module")
def small_server(fake_bundle: Path) -> Iterator[Server]:
    """A server that takes a tenth of a megabyte."""
    server = start_server(
        "--bundle", str(fake_bundle), "--engine", "fake", "--max-image-bytes", "100kB"
    )
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(("picture", "status"), [(FITS, 200), (OVER, 413)])
def test_a_declared_length_may_reach_the_limit(
    small_server: Server, picture: bytes, status: int
) -> None:
    assert exchange(small_server.url, post(picture)).status == status


def test_a_declared_length_of_thousands_of_digits_is_refused(small_server: Server) -> None:
    length = f"Content-Length: {'0' * 5000}1"
    request = head("POST", "/predict", "Content-Type: image/jpeg", length) + b"x"
    answer = exchange(small_server.url, request)
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert (problem.status, problem.code) == (400, "malformed-upload")


@pytest.mark.parametrize(("picture", "status"), [(FITS, 200), (OVER, 413)])
def test_chunks_are_counted_as_they_arrive(
    small_server: Server, picture: bytes, status: int
) -> None:
    with small_server.client() as client:
        response = client.post("/predict", content=iter([picture]), headers=JPEG)
    assert response.status_code == status


@pytest.mark.parametrize(("picture", "status"), [(FITS, 200), (OVER, 413)])
def test_in_a_form_only_the_image_is_counted(
    small_server: Server, picture: bytes, status: int
) -> None:
    body = form(part(b"x" * 100_000, "comment"), part(picture))
    with small_server.client() as client:
        response = client.post("/predict", content=body, headers={"Content-Type": FORM})
    assert response.status_code == status


def test_too_large_a_declared_length_is_refused_before_the_body_arrives(
    small_server: Server,
) -> None:
    length = f"Content-Length: {MOST + 1}"
    answer = exchange(small_server.url, head("POST", "/predict", "Content-Type: image/png", length))
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert problem.code == "too-many-bytes"
    assert str(MOST) in problem.detail
    assert answer.headers["connection"] == "close"


def test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit(small_server: Server) -> None:
    chunk = b"%x\r\n%b\r\n" % (len(OVER), OVER)  # and no last chunk ever comes
    answer = exchange(small_server.url, head("POST", "/predict", *CHUNKED) + chunk)
    assert problem_of(answer.status, answer.headers, answer.body).code == "too-many-bytes"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("target", ["/predict", "/nope", "/livez"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_raw_client_that_keeps_sending_gets_the_answer(
    small_server: Server, target: str, connection: str
) -> None:
    length = f"Content-Length: {len(HUGE)}"
    headers = ("Content-Type: image/jpeg", length, f"Connection: {connection}")
    with Wire(small_server.url) as wire:
        answer = wire.send(head("POST", target, *headers) + HUGE).answer()
        assert answer.status == {"/predict": 413, "/nope": 404, "/livez": 405}[target]
        problem_of(answer.status, answer.headers, answer.body)
        assert answer.headers["connection"] == "close"
        assert wire.closed()


def test_an_http_1_0_client_that_keeps_sending_gets_the_answer(small_server: Server) -> None:
    headers = ("Content-Type: image/jpeg", f"Content-Length: {len(HUGE)}")
    request = head("POST", "/predict", *headers, version="1.0")
    assert exchange(small_server.url, request + HUGE).status == 413


@pytest.mark.parametrize("chunked", [False, True])
def test_httpx_gets_the_answer(small_server: Server, chunked: bool) -> None:
    content = (HUGE[k : k + 65536] for k in range(0, len(HUGE), 65536)) if chunked else HUGE
    response = httpx.post(f"{small_server.url}/predict", content=content, headers=JPEG, timeout=60)
    assert problem_of(413, response.headers, response.content).code == "too-many-bytes"


def test_http_client_gets_the_answer(small_server: Server) -> None:
    connection = http.client.HTTPConnection(urlsplit(small_server.url).netloc, timeout=60)
    connection.request("POST", "/predict", HUGE, JPEG)
    response = connection.getresponse()
    assert response.status == 413
    assert response.will_close
    connection.close()


@pytest.mark.skipif(which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("expect", ["Expect:", "Expect: 100-continue"])
def test_curl_gets_the_answer(small_server: Server, tmp_path: Path, expect: str) -> None:
    (tmp_path / "huge.jpg").write_bytes(HUGE)
    command = ["curl", "-sS", "-F", f"file=@{tmp_path / 'huge.jpg'}", "-H", expect]
    status = ["-o", str(tmp_path / "answer"), "-w", "%{http_code}"]
    url = f"{small_server.url}/predict"
    done = subprocess.run([*command, *status, url], capture_output=True, check=False, timeout=60)
    assert done.stdout == b"413", done.stderr


def test_after_expect_a_refused_body_gets_no_100_continue(small_server: Server) -> None:
    headers = ("Content-Type: image/jpeg", f"Content-Length: {len(HUGE)}", "Expect: 100-continue")
    with Wire(small_server.url) as wire:
        wire.send(head("POST", "/predict", *headers))
        assert wire.line().startswith(b"HTTP/1.1 413 ")


def test_after_expect_an_accepted_body_gets_100_continue(small_server: Server) -> None:
    headers = ("Content-Type: image/jpeg", f"Content-Length: {MOST}", "Expect: 100-continue")
    with Wire(small_server.url) as wire:
        wire.send(head("POST", "/predict", *headers))
        assert wire.line().startswith(b"HTTP/1.1 100 ")
        assert wire.line() == b"\r\n"
        assert wire.send(FITS).answer().status == 200
