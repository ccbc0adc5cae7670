"""Every refusal is a problem document of one shape, and described."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from greengrocer import errors
from greengrocer.answer_json import KINDS
from support.problems import problem_of
from support.refusals import REFUSED, ROUTES, Refused
from support.servers import Server
from support.wire import Wire, exchange, head


@pytest.fixture(scope="module")
def described(fake_server: Server) -> dict[str, Any]:
    """The paths of the interface's description."""
    with fake_server.client() as client:
        paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    return paths


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.name)
def test_a_bad_request_is_refused_precisely(
    fake_server: Server, described: dict[str, Any], refused: Refused
) -> None:
    answer = exchange(fake_server.url, refused.request)
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert (problem.status, problem.code) == (refused.status, refused.code), problem.detail
    assert refused.said in problem.detail
    method, target = refused.request.decode("latin-1").split()[:2]
    path = unquote(urlsplit(target).path)
    assert unquote(problem.instance or "") == path
    if refused not in ROUTES:
        assert str(refused.status) in described[path][method.lower()]["responses"]


def test_the_request_id_of_the_client_is_in_the_refusal(fake_server: Server) -> None:
    answer = exchange(fake_server.url, head("GET", "/nope", "X-Request-Id: till-7"))
    assert problem_of(answer.status, answer.headers, answer.body).request_id == "till-7"


def test_a_wrong_method_gets_the_allowed_ones(fake_server: Server) -> None:
    answer = exchange(fake_server.url, head("GET", "/predict"))
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "path",
    ["/caf%C3%A9/no%20such", "/a%22b%3Cc%3E%25", "/models/nope@next+1/predict", "/a:b;c=d,e"],
)
def test_the_instance_is_percent_encoded(fake_server: Server, path: str) -> None:
    answer = exchange(fake_server.url, head("GET", path))
    assert problem_of(answer.status, answer.headers, answer.body).instance == path


@pytest.mark.parametrize("host", ["evil.example", "", "x" * 2000])
def test_the_host_header_is_not_used_in_answers(fake_server: Server, host: str) -> None:
    request = f"GET /nope HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    answer = exchange(fake_server.url, request)
    problem = problem_of(answer.status, answer.headers, answer.body)
    assert problem.status == 404
    assert problem.instance == "/nope"
    assert "location" not in answer.headers


def test_a_connection_stays_open_after_a_refusal_whose_body_was_read(fake_server: Server) -> None:
    with Wire(fake_server.url) as wire:
        for _ in range(2):
            for refused in REFUSED:
                if refused.name in ("text", "no field", "empty body"):
                    assert wire.send(refused.request).answer().status == refused.status


def test_every_kind_of_refusal_is_tested() -> None:
    for_want_of_time_or_room = {
        errors.ImageTooSlow.code,
        errors.SlowUpload.code,
        errors.Overloaded.code,
        errors.NotReady.code,
        errors.DeadlineExceeded.code,
        errors.ClientDisconnected.code,
    }
    for_want_of_leave = {errors.Unauthorized.code, errors.RateLimited.code}  # of tests/web/access
    for_want_of_an_output = {errors.NoEvidence.code}  # of tests/importing
    for_want_of_sense = {errors.InvalidAnswer.code}  # of tests/engines/test_invalid_answers.py
    # of tests/web/test_many_models.py
    for_want_of_a_model = {errors.UnknownModel.code, errors.ModelFailed.code}
    provoked = {refused.code for refused in REFUSED}
    elsewhere = (
        for_want_of_time_or_room
        | for_want_of_leave
        | for_want_of_an_output
        | for_want_of_sense
        | for_want_of_a_model
    )
    assert {kind.code for kind in KINDS} - elsewhere <= provoked
