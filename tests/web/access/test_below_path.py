"""The service below a path: the root path, and what a trusted proxy says."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from greengrocer.errors import UsageError
from greengrocer.read_settings import read_settings
from greengrocer.web.access.address import Networks
from greengrocer.web.access.keys import add_key
from support.access import bearer, closed
from support.live import live
from support.make_images import jpeg
from support.scrapes import sample, scrape
from support.wire import exchange, head

BASE = re.compile(r'<base href="([^"]*)">')
PREFIX = "X-Forwarded-Prefix"


@pytest.fixture
def shop(fake_bundle: Path) -> Iterator[httpx.Client]:
    """A client of a service whose root path is /shop."""
    with live(closed(fake_bundle, root_path="/shop")) as server, server.client() as client:
        yield client


@pytest.fixture
def behind(fake_bundle: Path) -> Iterator[httpx.Client]:
    """A client that the service takes for a trusted proxy."""
    service = closed(fake_bundle, trusted_proxies=("127.0.0.0/8",))
    with live(service) as server, server.client() as client:
        yield client


@pytest.mark.parametrize("prefix", ["", "/shop"])
def test_paths_are_answered_with_the_root_path_and_without(prefix: str, shop: httpx.Client) -> None:
    paths = ("/", "/page/page.js", "/docs", "/openapi.json", "/class-names", "/v2/health/ready")
    assert [shop.get(prefix + path).status_code for path in paths] == [200] * len(paths)
    answer = shop.post(f"{prefix}/predict", files={"file": jpeg(89)})
    assert answer.json()["prediction"] == "grey-3"
    labels = {"route": "/predict", "status": "200"}
    assert sample(scrape(shop), "requests_total", **labels) == 1


@pytest.mark.parametrize("path", ["/shop", "/shop/", "/"])
def test_the_page_loads_its_files_from_below_the_path(path: str, shop: httpx.Client) -> None:
    page = shop.get(path)
    assert BASE.findall(page.text) == ["/shop/"]
    assert "base-uri 'self'" in page.headers["content-security-policy"]
    again = shop.get(path, headers={"If-None-Match": page.headers["etag"]})
    assert again.status_code == 304


def test_without_a_path_the_page_has_no_base(client: httpx.Client) -> None:
    page = client.get("/", headers={PREFIX: "/shop"})
    assert "<base" not in page.text
    assert "base-uri 'none'" in page.headers["content-security-policy"]


def test_an_error_names_the_path_that_the_client_sees(
    shop: httpx.Client, behind: httpx.Client
) -> None:
    image = {"file": b"no image"}
    for path in ("/predict", "/nothing"):
        for answer in (
            shop.post(f"/shop{path}", files=image),
            behind.post(path, files=image, headers={PREFIX: "/shop"}),
        ):
            assert answer.json()["instance"] == f"/shop{path}"
    files = [("file", jpeg(89)), ("file", b"no image")]
    lines = shop.post("/shop/predict/batch", files=files).text.splitlines()
    assert '"instance":"/shop/predict/batch"' in lines[1]


@pytest.mark.parametrize(
    "path",
    [
        *("/shops/class-names", "/shop/shop/class-names", "/shop/%6detrics", "/%73hop/class-names"),
        *("/shop//class-names", "/shop/../class-names", "/SHOP/class-names", "//shop/class-names"),
    ],
)
def test_other_spellings_are_no_path(path: str, shop: httpx.Client) -> None:
    assert exchange(str(shop.base_url), head("GET", path)).status == 404


@pytest.mark.parametrize("said", ["/shop", "/shop/", "/a/b-c_d~e.f", "/V2"])
def test_what_a_trusted_proxy_says_is_believed(said: str, behind: httpx.Client) -> None:
    page = behind.get("/", headers={PREFIX: said})
    assert BASE.findall(page.text) == [said.removesuffix("/") + "/"]
    # the proxy has removed it: the same path again is one of the service's own
    assert behind.get("/v2", headers={PREFIX: "/v2"}).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        *("", "/", "//shop.example", "/a//b", "shop", "/../x", "/a/..", "/a/.b", "/a b", "/a,/b"),
        *('/"><script>', "/a%2fb", "/a?b", "/a#b", "/a:b", "/\\shop", "https://shop.example", "/ä"),
        "/" + 256 * "a",
    ],
)
def test_what_is_no_plain_path_is_ignored(said: str, behind: httpx.Client) -> None:
    page = behind.get("/", headers=[(PREFIX.encode(), said.encode())])
    assert (page.status_code, BASE.findall(page.text)) == (200, [])


def test_two_paths_are_ignored(behind: httpx.Client) -> None:
    page = behind.get("/", headers=[(PREFIX, "/shop"), (PREFIX, "/till")])
    assert "<base" not in page.text


@pytest.mark.parametrize("proxies", [(), ("192.0.2.0/24", "::1")])
def test_anyone_else_is_not_believed(proxies: tuple[str, ...], fake_bundle: Path) -> None:
    service = closed(fake_bundle, trusted_proxies=proxies, root_path="/till")
    with live(service) as server, server.client() as client:
        page = client.get("/till/", headers={PREFIX: "/shop"})
    assert BASE.findall(page.text) == ["/till/"]


def test_keys_are_asked_for_below_the_path_as_above(fake_bundle: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys", "till")
    service = closed(fake_bundle, tmp_path / "keys", root_path="/shop")
    closed_paths = ("/class-names", "/metrics", "/docs", "/nothing", "/shop/page/page.js")
    with live(service) as server, server.client() as client:
        for path in closed_paths:
            assert client.get(f"/shop{path}").status_code == 401
        assert client.get("/shop/class-names", headers=bearer(key)).status_code == 200
        for path in ("", "/", "/page/page.js", "/livez"):
            assert client.get(f"/shop{path}").status_code == 200


def test_no_path_leads_to_metrics_that_have_their_own_port(fake_bundle: Path) -> None:
    service = closed(fake_bundle, root_path="/shop")
    service = replace(service, access=replace(service.access, metrics_port=9))
    with live(service) as server, server.client() as client:
        for path in ("/metrics", "/shop/metrics", "/shop/shop/metrics", "/shop//metrics"):
            assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["shop", "/shop/", "//shop", "/a/../b", "/a b", "/", "/ä"])
def test_an_invalid_root_path_ends_the_start(path: str) -> None:
    with pytest.raises(UsageError, match="root_path"):
        read_settings({"root_path": path})


def test_a_valid_root_path_is_a_setting() -> None:
    assert read_settings({"root_path": "/shop/fruit-2"}).root_path == "/shop/fruit-2"
    assert read_settings({}).root_path == ""


def test_addresses_are_found_in_networks() -> None:
    networks = Networks(("10.0.0.0/8", "2001:db8::/32"))
    for host in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::7"):
        assert (host, 1) in networks
    for client in (("11.0.0.1", 1), ("::1", 1), ("", 0), ("socket", 0), None):
        assert client not in networks
