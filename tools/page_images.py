"""`python -m tools.page_images URL`: photographs the page of a running service for the README.

Needs Debian's packages chromium and fonts-noto-core. The images shown are the built-in ones.
"""

import argparse
import logging
import re
import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from greengrocer.datasets.gallery import built_in_gallery

OUT = Path("docs/images")
QUALITY = 85  # of the JPEGs
LIMIT = 200_000  # bytes of each
ALONE = "Granny-Smith"
SEVERAL = ("Lemon", "Vine-Tomato", "Kiwi", "Garlic", "Zucchini", "Yellow-Bell-Pepper")
DESK: dict[str, object] = {"viewport": {"width": 1200, "height": 840}}
PHONE: dict[str, object] = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
log = logging.getLogger("pictures")


def main() -> None:
    """Photograph one answer and several, at a desk and on a phone, by day and by night."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m tools.page_images", description=__doc__)
    parser.add_argument("url", metavar="URL", help="where it serves, as http://127.0.0.1:8000")
    url = parser.parse_args().url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for scheme in ("light", "dark"):
            photograph(browser, url, f"page-desk-{scheme}", (ALONE,), scheme, DESK)
            photograph(browser, url, f"page-phone-{scheme}", (ALONE,), scheme, PHONE)
        photograph(browser, url, "page-several", SEVERAL, "light", DESK)
        browser.close()


def photograph(
    browser: Browser,
    url: str,
    name: str,
    classes: tuple[str, ...],
    scheme: str,
    device: dict[str, object],
) -> None:
    """Write the image ``name`` of the page with answers for the gallery's ``classes``."""
    options = {"color_scheme": scheme, "reduced_motion": "reduce", **device}
    context = browser.new_context(**options)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    gallery = {shown.true_class: shown.path for shown in built_in_gallery().pictures}
    page.set_input_files("#chosen", [gallery[name] for name in classes])
    expect(page.locator("article[aria-busy=false]")).to_have_count(len(classes))
    if len(classes) == 1:
        lay_evidence(page)
    file = OUT / f"{name}.jpg"
    page.screenshot(path=file, type="jpeg", quality=QUALITY)
    context.close()
    size = file.stat().st_size
    log.info("%s: %d bytes", file, size)
    if size > LIMIT:
        raise SystemExit(f"{file} is too large for the repository")


def lay_evidence(page: Page) -> None:
    """Show the evidence, with its button."""
    button = page.get_by_role("button", name=re.compile("evidence"))
    button.click()
    expect(page.locator("canvas")).to_be_visible()
    page.mouse.move(0, 0)  # no longer over the button


if __name__ == "__main__":
    main()
