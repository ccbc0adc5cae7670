"""Security headers, and CORS only for listed origins."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from greengrocer.web.access.keys import add_key
from greengrocer.web.headers import SAFE
from support.access import bearer, closed
from support.live import live
from support.make_images import jpeg
from support.wire import exchange, head

SITE = "https://shop.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization",
}


def leave(answer: httpx.Response) -> dict[str, str]:
    """What the answer says of other sites."""
    return {k: v for k, v in answer.headers.items() if k.startswith("access-control-")}


@pytest.fixture
def shop(fake_bundle: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """A service with keys and limits whose answers scripts of ``SITE`` may read."""
    key = add_key(tmp_path / "keys", "till-1")
    service = closed(
        fake_bundle, tmp_path / "keys", {"key": "2/hour"}, cors_origins=(SITE, "http://x:8")
    )
    with live(service) as server, server.client() as client:
        client.headers.update(bearer(key))
        yield client


def test_every_answer_has_the_security_headers_once(client: httpx.Client) -> None:
    tag = client.get("/").headers["etag"]
    answers = [
        client.get("/"),
        client.get("/", headers={"If-None-Match": tag}),
        client.get("/docs"),
        client.get("/page/page.js"),
        client.get("/livez"),
        client.get("/metrics"),
        client.get("/random-image"),
        client.get("/nothing"),
        client.get("/v2/models/nothing"),
        client.post("/predict", files={"file": jpeg(89)}),
        client.post("/predict", content=b"GIF89a"),
        client.post("/explain", files={"file": jpeg(89)}),
    ]
    assert {answer.status_code for answer in answers} == {200, 304, 404, 415}
    heads = [answer.headers for answer in answers]
    heads.append(exchange(str(client.base_url), b"no request\r\n\r\n").headers)
    heads.append(exchange(str(client.base_url), head("GET", "/" + 9000 * "a")).headers)
    for headers in heads:
        for name, value in SAFE:
            assert headers.get_list(name.decode()) == [value.decode()]


def test_pages_cannot_be_framed(client: httpx.Client) -> None:
    for path in ("/", "/docs"):
        assert "frame-ancestors 'none'" in client.get(path).headers["content-security-policy"]


def test_other_origins_are_not_allowed_by_default(client: httpx.Client) -> None:
    origin = {"Origin": SITE}
    for answer in (
        client.get("/class-names", headers=origin),
        client.get("/nothing", headers=origin),
        client.options("/predict", headers={**origin, **PREFLIGHT}),
    ):
        assert not leave(answer)
    assert client.options("/predict", headers={**origin, **PREFLIGHT}).status_code == 405


def test_a_listed_origin_may_read_answers_and_refusals(shop: httpx.Client) -> None:
    asked = shop.options("/predict", headers={"Origin": SITE, **PREFLIGHT, "Authorization": ""})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == SITE
    assert "Authorization" in asked.headers["access-control-allow-headers"]
    origin = {"Origin": SITE}
    answers = [
        shop.post("/predict", files={"file": jpeg(89)}, headers=origin),
        shop.get("/nothing", headers=origin),
        shop.get("/class-names", headers=origin),
        shop.get("/class-names", headers={**origin, "Authorization": "Bearer x"}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 429, 401]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == SITE
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"]


def test_an_unlisted_origin_is_not_allowed(shop: httpx.Client) -> None:
    for site in ("https://other.example", f"{SITE}.other", "null", f"{SITE}:444"):
        answer = shop.get("/livez", headers={"Origin": site})
        assert "access-control-allow-origin" not in answer.headers
        asked = shop.options("/predict", headers={"Origin": site, **PREFLIGHT})
        assert "access-control-allow-origin" not in asked.headers
