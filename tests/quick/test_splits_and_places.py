"""``train --quick`` follows the splits and the places of a folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.facts import measured
from greengrocer.bundles.manifest import GRAPH, STATISTICS
from greengrocer.datachecks.check import check
from greengrocer.datachecks.places import Obstacle
from greengrocer.errors import DatasetUnusable
from greengrocer.quick.calibration import folds_of
from greengrocer.quick.shots import by_place
from greengrocer.quick.train import read_labelled, train_quick


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features are computed once for all tests here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def of(photos: Path, name: str) -> list[Path]:
    """The images of a class."""
    return sorted((photos / name).iterdir())


def test_the_split_val_judges_and_trains_nothing(photos: Path, tmp_path: Path) -> None:
    """What is held out is what the check announces."""
    folder = tmp_path / "photos"
    for name in ("apple", "lime"):
        for split, some in (("train", of(photos, name)[:6]), ("valid", of(photos, name)[6:])):
            (folder / split / name).mkdir(parents=True)
            for path in some:
                shutil.copy(path, folder / split / name / path.name)
    announced = check(folder)
    assert announced.hold_out is not None
    held = [
        image.path
        for image, out in zip(announced.images, announced.hold_out.held_out, strict=True)
        if out
    ]
    trained = train_quick(folder, tmp_path / "both")
    assert sorted(each.path for each in trained.labelled.held_out) == sorted(held)
    assert (trained.right, trained.leaked) == (4, 0)
    manifest = load_bundle(tmp_path / "both").manifest
    assert manifest.metrics["held_out_top1"] == 100
    assert "held out, on 4 images (the split val), which trained nothing" in [
        each.where for each in measured(manifest)
    ]
    train_quick(folder / "train", tmp_path / "alone")
    for name in (GRAPH, STATISTICS):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    shutil.copytree(folder / "valid" / "lime", folder / "valid" / "quince")
    with pytest.raises(DatasetUnusable, match="'quince' is in the split val, but not in train"):
        read_labelled(folder)


def test_places_are_held_out_whole(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("apple", "lime", "plum"):
        for number, path in enumerate(of(photos, name)):
            place = folder / f"shop{number % 4}" / name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / path.name)
    statistics = train_quick(folder, tmp_path / "out").statistics
    places, folds = statistics.shots[:, 2], folds_of(statistics, 7)
    assert len(set(places)) == 4
    assert all(len(set(folds[places == place])) == 1 for place in set(places))


def test_places_that_share_a_photo_are_no_places(photos: Path, tmp_path: Path) -> None:
    """As the check says it: by one rule, with one pair as an example."""
    folder = tmp_path / "photos"
    for name in ("apple", "lime"):
        for number, path in enumerate(of(photos, name)):
            place = folder / f"shop{number % 3}" / name
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place / path.name)
    shutil.copy(of(photos, "lime")[0], folder / "shop1" / "lime" / "copy.jpg")
    trained = train_quick(folder, tmp_path / "out")
    assert trained.places is not None
    assert trained.places.obstacle is Obstacle.COPIES
    assert not by_place(trained.statistics.shots, trained.statistics.labels)
    (told,) = (each for each in check(folder).problems if each.code == "held-out")
    why, todo = trained.places.told(folder)
    assert "near-duplicates join the 3 places" in why
    assert why.split(", as ")[0] in told.text
    assert "copy.jpg" in why
    assert todo is not None
    assert told.todo is not None
    assert told.todo.startswith(todo)
