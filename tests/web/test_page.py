"""``GET /`` and its files over HTTP; tests/browser tests what they do."""

import re
from importlib.resources import files
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from greengrocer.web.problems import MEDIA_TYPE
from support.bundles import write_fake_bundle
from support.live import live, make_service

LOADED = re.compile(r'(?:src|href)="([^"]+)"|from "([^"]+)"')
DOCUMENTS = "docs"  # a link, which loads nothing


@pytest.fixture
def loaded(client: httpx.Client) -> dict[str, httpx.Response]:
    """The page and everything that it loads, and they load, by address."""
    found: dict[str, httpx.Response] = {}
    waiting = ["/"]
    while waiting:
        address = waiting.pop()
        if address not in found:
            found[address] = client.get(address)
            links = {first or second for first, second in LOADED.findall(found[address].text)}
            waiting += [urljoin(address, link) for link in links - {DOCUMENTS}]
    return found


def test_every_file_is_served_with_its_type(loaded: dict[str, httpx.Response]) -> None:
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", "": "text/html"}
    assert {Path(address).suffix for address in loaded} == set(kinds)
    for address, response in loaded.items():
        assert response.status_code == 200, address
        assert response.headers["content-type"].split(";")[0] == kinds[Path(address).suffix]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "://" not in response.text.replace("http://www.w3.org/2000/svg", ""), address


def test_every_file_is_used_by_the_page(loaded: dict[str, httpx.Response]) -> None:
    names = {asset.name for asset in (files("greengrocer.web.page") / "assets").iterdir()}
    assert {Path(address).name for address in loaded} - {""} == names


def test_the_policy_allows_no_other_host_and_the_page_has_no_inline_code(
    client: httpx.Client,
) -> None:
    response = client.get("/")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"unsafe|://|\*", policy)
    assert response.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<style|<script(?! [^>]*src=)| style=| on[a-z]+=", response.text)


def test_a_cached_file_is_not_sent_again(client: httpx.Client) -> None:
    for address in ("/", "/page/page.js"):
        first = client.get(address)
        assert first.headers["cache-control"] == "no-cache"
        for known in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", "{"y" * 9}"'):
            again = client.get(address, headers={"If-None-Match": known})
            fresh = "yyy" in known
            assert again.status_code == (200 if fresh else 304)
            assert again.content == (first.content if fresh else b"")
            assert again.headers["etag"] == first.headers["etag"]


def test_the_page_names_the_serving_model(tmp_path: Path) -> None:
    bundle = write_fake_bundle(tmp_path / "bundle", version="2.1")
    with live(make_service(bundle)) as server, server.client() as client:
        assert ">greys 2.1</span>" in client.get("/").text


@pytest.mark.parametrize("path", ["/page/nothing.js", "/page/", "/page/..%2fpage.py", "/page"])
def test_no_other_file_is_served(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == MEDIA_TYPE


def test_the_page_has_its_own_route_in_the_metrics(client: httpx.Client) -> None:
    client.get("/")
    assert re.search(r'route="/"', client.get("/metrics").text)
