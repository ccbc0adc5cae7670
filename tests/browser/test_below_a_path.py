"""The page and the API documentation below a path prefix, behind a real proxy."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.chromium import Shop
from support.haproxy import haproxy
from support.servers import Server

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "production.md"
RULES = re.findall(r"`(http-request [^`]*/shop[^`]*)`", GUIDE.read_text())
ELSEWHERE = "http-request deny if !{ path_beg /shop } !{ path_beg /balancer }"


@pytest.fixture
def url(tmp_path: Path, server: Server) -> Iterator[str]:
    """Where the service is for others: nothing else of the proxy's leads to it."""
    with haproxy(tmp_path, [server.port], ELSEWHERE, *RULES) as balancer:
        yield f"{balancer.url}/shop"


def test_the_page_works_below_a_path_prefix(
    url: str, browser: Browser, pictures: dict[str, Path]
) -> None:
    assert httpx.get(f"{url.removesuffix('/shop')}/docs").status_code == 403
    shop = Shop(browser, url)  # all that it asks for must be below
    shop.page.goto(url)
    shop.choose(pictures["grey-3"])
    assert shop.names() == ["grey 3"]
    shop.page.get_by_text("Which items does it know?").click()
    expect(shop.page.locator("#classes p")).to_contain_text("grey 7")
    shop.page.get_by_role("link", name="HTTP interface").click()
    expect(shop.page.locator(".opblock", has_text="/class-names")).to_be_visible()
    shop.close()
    assert not shop.complaints


def test_the_api_documentation_works_below_a_path_prefix(url: str, browser: Browser) -> None:
    shop = Shop(browser, url)
    shop.page.goto(f"{url}/docs")
    operation = shop.page.locator(".opblock", has_text="/class-names")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text("grey-7")
    expect(operation.locator(".request-url")).to_contain_text(f"{url}/class-names")
    shop.close()
    assert not shop.complaints
