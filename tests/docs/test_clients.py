"""The guides of clients agree with each other, and with the models that ship."""

import json
import re

from greengrocer.bundles.bundle import shipped_bundles
from support.documents import ROOT

GUIDES = ROOT / "docs" / "guides"


def section(guide: str, title: str) -> str:
    """The text below a heading, on one line."""
    text = (GUIDES / guide).read_text(encoding="utf-8")
    _, heading, rest = text.partition(f"\n## {title}\n")
    assert heading
    return " ".join(rest.partition("\n## ")[0].split())


def test_the_guides_advise_the_same_size_which_is_more_than_the_models_see() -> None:
    advice = section("clients.md", "Make photos smaller first")
    (side,) = map(int, re.findall(r"to (\d+) pixels on its longer side", advice))
    assert f"max_side={side}" in advice
    assert f"max_side={side}" in section("client.md", "Make photos smaller")
    for name, directory in shipped_bundles().items():
        seen = json.loads((directory / "manifest.json").read_bytes())["geometry"]
        assert re.search(rf"`{name}` [^`]*{seen['width']} x {seen['height']}", advice), name
        assert max(seen["width"], seen["height"]) < side
