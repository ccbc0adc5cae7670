"""With API keys, only the page and the probes answer without one."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from greengrocer.web.access.keys import add_key
from support.access import bearer, closed
from support.live import live
from support.make_images import jpeg
from support.problems import problem_of
from support.wire import Wire, head

OPEN = ("/", "/page/page.js", "/livez", "/readyz", "/v2/health/live", "/v2/health/ready")
UNDESCRIBED = (
    "/docs",
    "/docs/assets/swagger-ui.css",
    "/openapi.json",
    "/nothing",
    "/page",
    "/v2/health",
    "/livez/",
    "/%2e/livez",
)


@dataclass
class Shop:
    """A service with one key."""

    client: httpx.Client
    key: str


@pytest.fixture
def shop(fake_bundle: Path, tmp_path: Path) -> Iterator[Shop]:
    key = add_key(tmp_path / "keys", "till-1")
    with live(closed(fake_bundle, tmp_path / "keys")) as server, server.client() as client:
        yield Shop(client, key)


def test_without_a_key_only_the_page_and_the_probes_answer(shop: Shop) -> None:
    for path in OPEN:
        assert shop.client.get(path).status_code == 200, path
    described = shop.client.get("/openapi.json", headers=bearer(shop.key)).json()["paths"]
    guarded = described.keys() - set(OPEN)
    assert {"/predict", "/metrics", "/v2", "/class-names"} <= guarded
    for path in (*guarded, *UNDESCRIBED):
        for method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE"):
            answer = shop.client.request(method, path)
            assert answer.status_code == 401, (method, path)
            assert answer.headers["www-authenticate"] == 'Bearer realm="greengrocer"'


def test_with_a_valid_key_every_route_answers(shop: Shop) -> None:
    shop.client.headers.update(bearer(shop.key))
    assert shop.client.post("/predict", files={"file": jpeg(89)}).status_code == 200
    for path in (*OPEN, "/metrics", "/class-names", "/docs", "/v2", "/openapi.json"):
        assert shop.client.get(path).status_code == 200, path
    assert shop.client.get("/nothing").status_code == 404


def test_a_refusal_is_a_problem_document_or_a_v2_error(shop: Shop) -> None:
    for headers, word in (({}, "needs an API key"), (bearer("gg_wrong"), "unknown")):
        answer = shop.client.post("/predict", files={"file": jpeg(89)}, headers=headers)
        problem = problem_of(answer.status_code, answer.headers, answer.content)
        assert (problem.status, problem.code) == (401, "unauthorized")
        assert word in problem.detail
        told = shop.client.get("/v2/models/greys", headers=headers)
        assert told.status_code == 401
        assert list(told.json()) == ["error"]
        assert word in told.json()["error"]


def test_only_the_bearer_scheme_is_accepted_in_any_case(shop: Shop) -> None:
    for good in (f"bearer {shop.key}", f"BEARER  {shop.key}"):
        answer = shop.client.get("/class-names", headers={"Authorization": good})
        assert answer.status_code == 200, good
    bad = ("", "Bearer", shop.key, f"Basic {shop.key}", f"Bearer {shop.key} x")
    for value in bad:
        answer = shop.client.get("/class-names", headers={"Authorization": value})
        assert answer.status_code == 401, value
    both = [("Authorization", f"Bearer {shop.key}"), ("Authorization", "Bearer x")]
    assert shop.client.get("/class-names", headers=both).status_code == 400
    assert shop.client.get("/class-names", params={"key": shop.key}).status_code == 401


def test_the_refusal_does_not_wait_for_the_body(shop: Shop) -> None:
    with Wire(str(shop.client.base_url)) as wire:
        wire.send(head("POST", "/predict", "Content-Type: image/jpeg", "Content-Length: 9999999"))
        answer = wire.answer()
        assert answer.status == 401
        assert answer.headers["connection"] == "close"
    with Wire(str(shop.client.base_url)) as wire:
        wire.send(head("POST", "/predict", "Expect: 100-continue", "Content-Length: 9999999"))
        assert wire.answer().status == 401  # and nobody is asked to go on


def test_openapi_describes_keys_where_they_are_required(shop: Shop, client: httpx.Client) -> None:
    description = shop.client.get("/openapi.json", headers=bearer(shop.key)).json()
    assert description["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    for path, methods in description["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (path not in OPEN), path
            assert ("401" in operation["responses"]) == (path not in OPEN), path
    without = client.get("/openapi.json")  # of a server without keys
    assert "securitySchemes" not in without.json()["components"]
    assert "401" not in without.text
