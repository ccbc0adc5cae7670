"""The changelog lists every renamed setting."""

import re

from greengrocer.read_settings import RENAMED
from support.documents import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_renamed_setting_is_listed_with_its_new_name() -> None:
    rows = re.findall(r"^  \| `(\w+)` \| `(\w+)`(, a million times the number)? \|$", TEXT, re.M)
    assert {old: (new, 1_000_000 if times else None) for old, new, times in rows} == RENAMED
