"""The guide of bundle stores, followed with a store on this machine."""

import re
from pathlib import Path

import pytest

from greengrocer.cli.main import build_parser
from greengrocer.read_settings import check_environment
from greengrocer.stores.open_store import EXTRA
from support.documents import ROOT, Reader, blocks
from support.object_store import ObjectStore

GUIDE = ROOT / "docs" / "guides" / "bundle-stores.md"
TEXT = GUIDE.read_text(encoding="utf-8")


@pytest.mark.accept
@pytest.mark.leg("documentation")
def test_the_commands_of_the_guide_work(store: ObjectStore, tmp_path: Path) -> None:
    store.buckets = {"models"}
    reader = Reader(tmp_path, {f"pip install 'greengrocer[{EXTRA}]'": ""})
    try:
        for block in blocks(GUIDE):
            reader.follow(GUIDE, block)
        assert "digest:" in reader.printed
        with reader.servers[8000].client() as client:
            assert client.get("/readyz").status_code == 200
    finally:
        reader.leave()
    assert "/models/grocery/manifest.json" in store.objects


def test_the_pinned_library_is_the_tested_one() -> None:
    pins = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8").splitlines()
    named = re.findall(r"`(obstore==[\d.]+)`", TEXT)
    assert named
    assert set(named) <= set(pins)


def test_the_flags_and_variables_that_are_named_exist() -> None:
    variables = re.findall(r"`(GREENGROCER_[A-Z_]+)", TEXT)
    assert check_environment(dict.fromkeys(variables, "x"))
    build_parser().parse_args(["push", "grocery", "s3://models/grocery", "--replace"])
    build_parser().parse_args(["serve", "--bundle-cache", "here"])
