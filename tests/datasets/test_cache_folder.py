"""A cache that another user can write to is not trusted."""

import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from greengrocer.datasets.cache_folder import own_cache
from greengrocer.datasets.layouts.read import read_collection
from greengrocer.errors import UsageError
from greengrocer.features.cache import FeatureCache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "greengrocer"


def test_ones_own_or_none_is_fine(cache: Path) -> None:
    assert own_cache("features") == cache / "features"
    (cache / "features").mkdir(parents=True)
    assert own_cache("features") == cache / "features"


def test_another_users_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    with ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("a/1.jpg", b"")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    told = f"greengrocer belongs to another user, with the id {owner}: remove it, or name"
    with pytest.raises(UsageError, match=told):
        FeatureCache("0" * 64, 1280)
    with pytest.raises(UsageError, match=told):
        read_collection(tmp_path / "photos.zip")


def test_one_that_everybody_may_write_to_is_refused(cache: Path) -> None:
    (cache / "unpacked").mkdir(parents=True)
    (cache / "unpacked").chmod(0o777)
    with pytest.raises(UsageError, match="unpacked may be written to by everybody"):
        own_cache("unpacked")
    assert own_cache("features")
