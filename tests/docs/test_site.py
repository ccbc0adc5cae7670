"""The built site is complete and loads nothing from other hosts."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from support.documents import ROOT

pytestmark = [pytest.mark.accept, pytest.mark.leg("documentation")]

LOADED = {"img": "src", "script": "src", "link": "href", "source": "src", "iframe": "src"}
MODULE = re.compile(r"<text[^>]*class='module'[^>]*>([\w/]+\.py)<")


class Loads(HTMLParser):
    """What a page has the browser load."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(dict(attrs).get(LOADED.get(tag, ""), None) or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-E", "-a", "-W", "--keep-going"]
    done = subprocess.run(
        [*build, "docs", str(out)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return out


def test_every_document_is_a_page(site: Path) -> None:
    documents = (ROOT / "docs").rglob("*.md")
    pages = {document.relative_to(ROOT / "docs").with_suffix(".html") for document in documents}
    assert {page.relative_to(site) for page in site.rglob("*.html")} >= pages


def test_nothing_is_loaded_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not [each for each in Loads(page).found if "//" in each]
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text())


def test_every_module_named_in_a_drawing_exists() -> None:
    pictures = list((ROOT / "docs" / "images").glob("*.svg"))
    modules = {name for picture in pictures for name in MODULE.findall(picture.read_text())}
    assert len(modules) > 10
    for module in modules:
        assert (ROOT / "src" / "greengrocer" / module).is_file()
