"""Colour schemes, window sizes, axe-core's rules and the content security policy."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser.conftest import OpenShop
from browser.test_evidence import with_evidence
from support.chromium import Shop

pytestmark = [pytest.mark.accept, pytest.mark.leg("browser")]

PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1440, "height": 900}}
EVIDENCE = {"class": "grey-3", "shape": [2, 2], "values": [0, 1, 2, 3]}


def findings(shop: Shop) -> list[str]:
    """What axe-core holds against the page as it is now."""
    found = Axe().run(shop.page).response["violations"]
    return [f"{rule['impact']}: {rule['help']}: {rule['nodes'][0]['html']}" for rule in found]


def sideways(shop: Shop) -> int:
    """By how many pixels the page is wider than the window."""
    found: int = shop.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_finds_nothing_and_the_page_fits_the_window(
    open_shop: OpenShop, pictures: dict[str, Path], device: dict[str, object], scheme: str
) -> None:
    shop = with_evidence(open_shop(color_scheme=scheme, **device), EVIDENCE)
    assert not findings(shop)
    shop.page.get_by_text("Which items does it know?").click()
    expect(shop.page.get_by_text("10 things:")).to_be_visible()
    for names in (["grey-3"], ["unknown"], ["text"], ["grey-3", "dark", "text", "unknown"]):
        shop.choose(*(pictures[name] for name in names))
        if names != ["text"]:
            shop.page.get_by_role("button", name="evidence").first.click()
        assert not findings(shop), names
        assert sideways(shop) <= 0, names
    shop.page.get_by_role("button", name="Random").click()
    shop.answered(["A random image, drawn"])
    assert not findings(shop)


def test_the_colour_scheme_of_the_browser_is_followed(open_shop: OpenShop) -> None:
    shades = []
    for scheme in ("light", "dark"):
        shop = open_shop(color_scheme=scheme)
        colour = shop.page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades.append(int(colour.removeprefix("rgb(").split(",")[0]))
    assert shades[0] > 240
    assert shades[1] < 40


def test_nothing_moves_where_reduced_motion_is_preferred(
    open_shop: OpenShop, pictures: dict[str, Path]
) -> None:
    name = "getComputedStyle(document.querySelector('.track > span')).animationName"
    for motion, expected in (("reduce", "none"), ("no-preference", "grow")):
        shop = open_shop(reduced_motion=motion)
        shop.choose(pictures["grey-3"])
        assert shop.page.evaluate(name) == expected


def test_the_content_security_policy_blocks_and_reports(shop: Shop) -> None:
    shop.page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.body.append(script);
      fetch("http://127.0.0.2:1/").catch(() => {});
    }""")
    expect(shop.page.locator("body")).to_be_visible()
    assert shop.page.evaluate("window.ran") is None
    told = " ".join(shop.complaints)
    assert "policy: script-src-elem inline" in told
    assert "policy: connect-src http://127.0.0.2:1/" in told
    shop.complaints.clear()
