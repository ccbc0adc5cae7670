"""A client over its rate limit is refused, with the time to retry after."""

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greengrocer.serving.rate_limits import LocalRateLimiter, Rate, parse_rate
from greengrocer.web.access.keys import add_key
from support.access import bearer, closed
from support.live import live
from support.make_images import jpeg
from support.problems import problem_of
from support.waiting import until

PATH = "/class-names"


@pytest.fixture
def limited(fake_bundle: Path) -> Iterator[httpx.Client]:
    """A client that may ask five times an hour."""
    service = closed(fake_bundle, rates={"address": "5/hour"})
    with live(service) as server, server.client() as client:
        yield client


@pytest.fixture
def tills(tmp_path: Path) -> dict[str, str]:
    return {name: add_key(tmp_path / "keys", name) for name in ("till-1", "till-2")}


def test_a_rate_is_a_number_of_requests_per_period() -> None:
    assert parse_rate("600/minute") == Rate(600, 60)
    assert parse_rate("1/day") == Rate(1, 86400)


def test_headers_count_down_and_a_429_has_retry_after(limited: httpx.Client) -> None:
    answers = [limited.get(PATH) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"address";q=5;w=3600'}
    told = [answer.headers["ratelimit"].split(";t=") for answer in answers]
    assert [left for left, _ in told] == [f'"address";r={n}' for n in (4, 3, 2, 1, 0, 0, 0)]
    resets = [int(seconds) for _, seconds in told]
    assert resets[:5] == sorted(resets[:5])
    assert 715 < resets[0] <= 720  # one of five in an hour
    problem = problem_of(429, answers[-1].headers, answers[-1].content)
    assert problem.code == "rate-limited"
    assert 690 < int(answers[-1].headers["retry-after"]) <= 720
    assert answers[-1].headers["retry-after"] in problem.detail


def test_over_the_limit_images_and_v2_requests_are_refused_in_their_own_format(
    limited: httpx.Client,
) -> None:
    for _ in range(5):
        limited.get(PATH)
    assert limited.post("/predict", files={"file": jpeg(89)}).json()["code"] == "rate-limited"
    answer = limited.get("/v2/models/greys")
    assert (answer.status_code, list(answer.json())) == (429, ["error"])
    assert "retry-after" in answer.headers


def test_the_page_and_the_probes_are_not_counted(limited: httpx.Client) -> None:
    for path in ("/", "/page/page.js", "/livez", "/readyz", "/v2/health/ready") * 3:
        answer = limited.get(path)
        assert answer.status_code == 200
        assert "ratelimit" not in answer.headers
    assert limited.get(PATH).headers["ratelimit"].startswith('"address";r=4')


def test_openapi_describes_the_429_of_every_counted_route(limited: httpx.Client) -> None:
    paths = limited.get("/openapi.json").json()["paths"]
    refusing = {
        path
        for path, methods in paths.items()
        for operation in methods.values()
        if "429" in operation["responses"]
    }
    probes = {"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"}
    assert refusing == paths.keys() - probes


def test_the_allowance_is_refilled(fake_bundle: Path) -> None:
    service = closed(fake_bundle, rates={"address": "20/second"})
    with live(service) as server, server.client() as client:
        until(lambda: client.get(PATH).status_code == 429)
        until(lambda: client.get(PATH).status_code == 200)


def lines(client: httpx.Client, pictures: int) -> list[dict[str, object]]:
    """The answers to a batch, of which the first image is the request's own."""
    form = [("file", jpeg(89))] * pictures
    answer = client.post("/predict/batch", files=form)
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_image_of_a_batch_counts_as_a_request(limited: httpx.Client) -> None:
    limited.get(PATH)
    told = lines(limited, 7)
    assert [line["index"] for line in told] == list(range(7))
    assert [line.get("code") for line in told] == [None] * 4 + ["rate-limited"] * 3
    assert told[-1]["status"] == 429
    assert limited.get(PATH).status_code == 429


def test_a_batch_waits_for_a_refill_within_its_deadline(fake_bundle: Path) -> None:
    service = closed(fake_bundle, rates={"address": "10/second"})
    with live(service) as server, server.client() as client:
        assert {line.get("code") for line in lines(client, 25)} == {None}


def test_the_images_of_a_v2_request_are_counted_together(
    limited: httpx.Client,
) -> None:
    def infer(pictures: int) -> httpx.Response:
        picture = base64.b64encode(jpeg(89)).decode()
        image = {"name": "image", "shape": [pictures], "datatype": "BYTES"}
        return limited.post(
            "/v2/models/greys/infer", json={"inputs": [{**image, "data": [picture] * pictures}]}
        )

    assert infer(2).status_code == 200
    refused = infer(4)
    assert (refused.status_code, list(refused.json())) == (429, ["error"])
    assert "send fewer" in refused.json()["error"]
    assert 720 < int(refused.headers["retry-after"]) <= 3600, "all are back, and not one"


def test_each_key_has_its_own_limit_and_an_address_one_for_all_keys(
    fake_bundle: Path, tmp_path: Path, tills: dict[str, str]
) -> None:
    rates = {"address": "5/hour", "key": "3/hour"}
    with live(closed(fake_bundle, tmp_path / "keys", rates)) as server, server.client() as client:
        ask = {
            name: (lambda key=key: client.get(PATH, headers=bearer(key)))
            for name, key in tills.items()
        }
        first = ask["till-1"]()
        assert first.headers["ratelimit-policy"] == '"address";q=5;w=3600, "key";q=3;w=3600'
        assert first.headers["ratelimit"] == '"address";r=4;t=720, "key";r=2;t=1200'
        assert [ask["till-1"]().status_code for _ in range(3)] == [200, 200, 429]
        assert "this key" in ask["till-1"]().json()["detail"]  # the fifth of the address
        over = ask["till-2"]()
        assert (over.status_code, "this address" in over.json()["detail"]) == (429, True)


def test_guessing_keys_is_limited_by_address(
    fake_bundle: Path, tmp_path: Path, tills: dict[str, str]
) -> None:
    service = closed(fake_bundle, tmp_path / "keys", {"address": "3/hour"})
    with live(service) as server, server.client() as client:
        tried = [client.get(PATH, headers=bearer(f"gg_{n}")).status_code for n in range(5)]
        assert tried == [401] * 3 + [429] * 2
        assert client.get(PATH, headers=bearer(tills["till-1"])).status_code == 429


def test_any_number_of_clients_takes_bounded_memory_and_no_thread() -> None:
    before = set(threading.enumerate())
    limiter = LocalRateLimiter({"address": Rate(2, 3600)}, most_clients=100)
    for number in range(1000):
        limiter.count(f"10.0.{number // 256}.{number % 256}", None)
    (limit,) = limiter._limits.values()
    assert len(limit.limiter._store._backend._client) == 100  # type: ignore[attr-defined]
    assert limiter.count("10.0.3.231", None)[0].remaining == 0  # the last one is remembered
    assert limiter.count("10.0.0.1", None)[0].remaining == 1  # the first is forgotten
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended


def test_without_limits_there_are_no_ratelimit_headers(client: httpx.Client) -> None:
    assert not [name for name in client.get(PATH).headers if "ratelimit" in name]
