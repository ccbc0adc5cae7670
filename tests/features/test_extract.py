import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.errors import DatasetUnusable
from greengrocer.features.backbone import CHANNELS, backbone_digest
from greengrocer.features.cache import FeatureCache
from greengrocer.features.extract import shipped_embedder
from support.make_images import encoded, photo


def extract(images: Sequence[LabelledImage], threads: int | None = None) -> Floats:
    return shipped_embedder().extract([image.path for image in images], threads).features


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> list[LabelledImage]:
    """Three photos."""
    for seed in range(3):
        (tmp_path / f"{seed}.jpg").write_bytes(encoded(photo(seed), "JPEG", quality=90))
    return [LabelledImage(tmp_path / f"{seed}.jpg", 0) for seed in range(3)]


def test_rows_are_in_the_order_of_the_images(images: list[LabelledImage]) -> None:
    found = extract(images, threads=3)
    assert found.shape == (3, CHANNELS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(extract(images[::-1], threads=1), found[::-1])
    assert extract([]).shape == (0, CHANNELS)


def test_what_was_computed_is_kept_by_the_bytes_of_the_file(
    images: list[LabelledImage], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extract(images)
    assert len([path for path in home.rglob("*") if path.is_file()]) == 3

    def fails(_: bytes) -> None:
        raise AssertionError("nothing is computed a second time")

    renamed = [LabelledImage(i.path.rename(i.path.with_suffix(".jpeg")), 0) for i in images]
    again = shipped_embedder()
    monkeypatch.setattr(again, "_embed", fails)
    found = again.extract([image.path for image in renamed])
    np.testing.assert_array_equal(found.features, first)
    assert found.digests == tuple(
        hashlib.sha256(image.path.read_bytes()).hexdigest() for image in renamed
    )


def test_a_damaged_entry_of_the_cache_is_computed_again(
    images: list[LabelledImage], home: Path
) -> None:
    first = extract(images)
    for path in home.rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-4])
    np.testing.assert_array_equal(extract(images), first)
    assert {len(path.read_bytes()) for path in home.rglob("*") if path.is_file()} == {4 * CHANNELS}


def test_another_backbone_has_a_cache_of_its_own() -> None:
    row = np.arange(4, dtype=np.float32)
    kept, other = FeatureCache("a" * 64, 4), FeatureCache("b" * 64, 4)
    kept.put("0" * 64, row)
    found = kept.get("0" * 64)
    assert found is not None
    np.testing.assert_array_equal(found, row)
    assert other.get("0" * 64) is None


def test_a_cache_that_cannot_be_written_is_done_without(
    images: list[LabelledImage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert extract(images).shape == (3, CHANNELS)
    assert FeatureCache(backbone_digest(), CHANNELS).get("0" * 64) is None


@pytest.mark.parametrize("content", [b"no image", b"", None])
def test_an_image_that_cannot_be_read_is_named(
    content: bytes | None, images: list[LabelledImage], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(DatasetUnusable, match=r"bad\.jpg"):
        extract([*images, LabelledImage(bad, 0)])
