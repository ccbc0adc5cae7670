"""Every command that takes a bundle takes its address."""

from pathlib import Path

import pytest

import greengrocer
from greengrocer.bundles.bundle import digest_of
from greengrocer.cli.main import main
from greengrocer.errors import BundleRefused
from support.bundles import write_fake_bundle
from support.make_images import jpeg
from support.object_store import ObjectStore

NOTHING = "s3://bucket/nothing"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with an image of each of two classes."""
    for name in ("dark", "light"):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        (folder / "1.jpg").write_bytes(jpeg(100))
    return tmp_path / "photos"


def test_info_tells_of_a_bundle_in_a_store(
    store: ObjectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_fake_bundle(tmp_path / "shop")
    store.put_bundle(bundle, "/bucket/shop")
    assert main(["info", "--bundle", "s3://bucket/shop"]) == 0
    told = capsys.readouterr().out
    kept = tmp_path / "home" / "greengrocer" / "bundles" / digest_of(bundle)
    assert f"in {kept}\n" in told
    assert f"digest:   sha256:{digest_of(bundle)}\n" in told


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["info", "predict", "evaluate", "push"])
def test_each_command_looks_at_the_address(
    photos: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    arguments = {
        "info": ["--bundle", NOTHING],
        "predict": ["--bundle", NOTHING, str(photos)],
        "evaluate": ["--bundle", NOTHING, "--data", str(photos)],
        "push": [NOTHING, "s3://bucket/shop"],
    }
    assert main([command, *arguments[command]]) == 2
    assert f"there is no bundle at {NOTHING}" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_the_python_api_looks_at_the_address() -> None:
    with pytest.raises(BundleRefused, match=f"there is no bundle at {NOTHING}"):
        greengrocer.load(NOTHING)
