"""The page of a service that needs an API key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.test_accessibility import findings
from greengrocer.web.access.keys import add_key
from support.chromium import Shop
from support.servers import Server, start_server

pytestmark = [pytest.mark.accept, pytest.mark.leg("browser")]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def key(key_file: Path) -> str:
    return add_key(key_file, "till-1")


@pytest.fixture
def closed(key_file: Path, key: str, fake_bundle: Path) -> Iterator[Server]:
    del key
    server = start_server(
        "--bundle", str(fake_bundle), "--engine", "fake", "--api-keys", str(key_file)
    )
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def shop(browser: Browser, closed: Server) -> Iterator[Shop]:
    shop = Shop(browser, closed.url).open()
    yield shop
    shop.close()
    assert not shop.complaints


def enter(shop: Shop, key: str) -> None:
    shop.page.get_by_label("key").fill(key)
    shop.page.get_by_role("button", name="Use it").click()


def test_a_key_is_asked_for_and_then_the_image_is_answered(
    shop: Shop, pictures: dict[str, Path], key: str
) -> None:
    expect(shop.page.locator("#key")).to_be_hidden()
    shop.choose(pictures["grey-3"], pictures["grey-7"])
    assert shop.names() == ["An API key is needed"] * 2
    expect(shop.page.get_by_label("This service needs an API key:")).to_be_focused()
    assert not findings(shop)
    enter(shop, "gg_wrong")
    expect(
        shop.page.get_by_label("The service does not know this key. Enter another:")
    ).to_be_visible()
    enter(shop, key)
    expect(shop.page.locator("h2", has_text="grey")).to_have_count(2)
    assert shop.names() == ["grey 3", "grey 7"]
    expect(shop.page.locator("#key")).to_be_hidden()


def test_a_key_can_be_pasted(shop: Shop, pictures: dict[str, Path], key: str) -> None:
    shop.choose(pictures["grey-3"])
    shop.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shop.page.evaluate(f"navigator.clipboard.writeText('{key}')")
    expect(shop.page.get_by_label("This service needs an API key:")).to_be_focused()
    shop.page.keyboard.press("Control+V")
    shop.page.keyboard.press("Enter")
    expect(shop.page.locator("h2", has_text="grey")).to_have_count(1)


def test_the_key_is_kept_as_long_as_the_tab(
    browser: Browser, shop: Shop, pictures: dict[str, Path], key: str
) -> None:
    shop.page.get_by_text("Which items does it know?").click()
    enter(shop, key)
    expect(shop.page.get_by_text("10 things: grey 0, grey 1,")).to_be_visible()
    shop.page.reload()
    shop.choose(pictures["grey-3"])
    assert shop.names() == ["grey 3"]
    other = Shop(browser, shop.url).open()
    other.choose(pictures["grey-3"])
    assert other.names() == ["An API key is needed"]
    other.close()
