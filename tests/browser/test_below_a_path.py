"""The page and the API documentation below a path prefix, behind a real proxy."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.chromium import Shop
from support.haproxy import haproxy
from support.servers import StartServer

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "production.md"
ROW = re.compile(r"^\| ((?:removes|sends)[^|]*) \| ([^|]*) \|$", re.MULTILINE)
RULE = re.compile(r"`(http-request [^`]*)`")
FLAGS = {
    "no setting": (),
    "`--trusted-proxies` names the balancer": ("--trusted-proxies", "127.0.0.1"),
    "`--root-path /shop`": ("--root-path", "/shop"),
}
# for each way of the guide: the rules of the balancer, and the flags of the service
WAYS = {
    says.partition(":")[0]: (RULE.findall(says), FLAGS[settings])
    for says, settings in ROW.findall(GUIDE.read_text())
}
ELSEWHERE = "http-request deny if !{ path_beg /shop } !{ path_beg /balancer }"


@pytest.fixture(params=WAYS.values(), ids=[*WAYS])
def url(
    tmp_path: Path, serve: StartServer, fake_bundle: Path, request: pytest.FixtureRequest
) -> Iterator[str]:
    """Where the service is for others: nothing else of the proxy's leads to it."""
    rules, flags = request.param
    server = serve("--bundle", str(fake_bundle), "--engine", "fake", *flags)
    with haproxy(tmp_path, [server.port], ELSEWHERE, *rules) as balancer:
        yield f"{balancer.url}/shop"


def test_the_guide_has_three_ways() -> None:
    assert [len(rules) for rules, _ in WAYS.values()] == [2, 2, 0]


@pytest.mark.accept
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
    expect(shop.page.locator("#operations-default-class_names")).to_be_visible()
    shop.close()
    assert not shop.complaints


@pytest.mark.accept
def test_the_api_documentation_works_below_a_path_prefix(url: str, browser: Browser) -> None:
    shop = Shop(browser, url)
    shop.page.goto(f"{url}/docs")
    operation = shop.page.locator("#operations-default-class_names")
    operation.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text("200")
    expect(answer).to_contain_text("grey-7")
    expect(operation.locator(".request-url")).to_contain_text(f"{url}/class-names")
    shop.close()
    assert not shop.complaints
