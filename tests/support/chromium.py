"""A real Chromium, from Debian, with Greengrocer's page open in it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from support.waiting import SECONDS

CHROMIUM = "chromium"
NO_ANSWER = "Failed to load resource: "  # a refusal, or no connection: tests make both
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, without a window."""
    program = shutil.which(CHROMIUM)
    if program is None and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
        pytest.skip("needs chromium, from Debian's package of that name")
    with sync_playwright() as playwright:
        expect.set_options(timeout=SECONDS * 1000)
        browser = playwright.chromium.launch(executable_path=program or CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()


class Shop:
    """The page, open; ``complaints`` is what the browser held against it."""

    def __init__(self, browser: Browser, url: str, **options: object) -> None:
        self.url = url
        self.complaints: list[str] = []
        context = browser.new_context(**{"reduced_motion": "reduce", **options})  # type: ignore[arg-type]
        context.set_default_timeout(SECONDS * 1000)
        context.add_init_script(TELL_VIOLATIONS)
        self.page: Page = context.new_page()
        # The browser takes a moment to learn that tests answer its choosers: it is told here.
        self.page.on("filechooser", lambda _: None)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._must_be_ours(request.url))

    def open(self) -> "Shop":
        """Load the page."""
        self.page.goto(self.url)
        return self

    def choose(self, *pictures: Path) -> None:
        """Choose files by the button, as a person does."""
        with self.page.expect_file_chooser() as chooser:
            self.page.get_by_role("button", name="Choose").click()
        chooser.value.set_files(pictures)
        self.answered([picture.name for picture in pictures])

    def answered(self, captions: Sequence[str]) -> None:
        """Wait until there is a card for each of these, and each has its answer or refusal."""
        expect(self.page.locator("figcaption")).to_have_text(list(captions))
        expect(self.page.locator("article[aria-busy=false]")).to_have_count(len(captions))

    def names(self) -> list[str]:
        """What the cards say, in order."""
        return self.page.locator(".card h2").all_inner_texts()

    @property
    def card(self) -> Locator:
        """The one image's card."""
        return self.page.get_by_role("article")

    @property
    def status(self) -> Locator:
        """What a screen reader announces."""
        return self.page.get_by_role("status")

    def close(self) -> None:
        """Close it."""
        self.page.context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(NO_ANSWER):
            self.complaints.append(message.text)

    def _must_be_ours(self, address: str) -> None:
        own = "/".join(self.url.split("/")[:3])  # a blob has no path below which it could be
        if not f"{address}/".startswith((f"{self.url}/", f"blob:{own}/")):
            self.complaints.append(f"a request to {address}")
