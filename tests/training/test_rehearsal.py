"""Whatever would refuse a bundle after training is refused before the first step."""

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from greengrocer.errors import UsageError
from greengrocer.training.recipe import (
    Augmentation,
    Data,
    Distillation,
    Export,
    Optimisation,
    Recipe,
)
from greengrocer.training.train import train
from support.make_images import encoded, jpeg, photo

RECIPE = Recipe(
    name="greys",
    backbone="efficientnet-lite0",
    pretrained=False,
    augmentation=Augmentation(image_size=32),
    optimisation=Optimisation(epochs=1, batch_size=4),
    export=Export(image_size=32, calibration_images=4),
)
Usage = namedtuple("Usage", "total used free")


class Step(Exception):
    """Training has begun."""


@pytest.fixture(autouse=True)
def first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit ends before its first step."""

    def fit(*_: object) -> None:
        raise Step

    monkeypatch.setattr("greengrocer.training.job.fit", fit)


def write_classes(directory: Path, *names: str) -> Path:
    """A folder with two images for each name."""
    for label, name in enumerate(names):
        (directory / name).mkdir(parents=True)
        for number in range(2):
            level = (37 * label + 90 * number) % 256
            (directory / name / f"{number}.jpg").write_bytes(jpeg(level))
    return directory


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_classes(tmp_path / "data", "dark", "light")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Images that fall into several scenes."""
    for name in ("dark", "light"):
        (tmp_path / "scenes" / name).mkdir(parents=True)
        for seed in range(4):
            path = tmp_path / "scenes" / name / f"{seed}.jpg"
            path.write_bytes(encoded(photo(seed, (96, 72)), "JPEG", quality=90))
    return tmp_path / "scenes"


def refusal(data: Path, out: Path, recipe: Recipe = RECIPE, folds: int | None = None) -> str:
    """What a training is refused for; it is one line, and nothing but checkpoints lies about."""
    with pytest.raises(UsageError) as refused:
        train(recipe, data, out, "cpu", folds=folds)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def exporting(**how: object) -> Recipe:
    return RECIPE.model_copy(update={"export": RECIPE.export.model_copy(update=how)})


@pytest.mark.parametrize(
    ("network", "classes"),
    [
        ("efficientnet-lite0", 288),
        pytest.param("efficientnet-lite2", 125, marks=pytest.mark.accept),
    ],
)
def test_a_model_of_many_classes_may_be_larger_than_the_shipped_ones(
    tmp_path: Path, network: str, classes: int
) -> None:
    data = write_classes(tmp_path / "data", *(f"class-{k}" for k in range(classes)))
    with pytest.raises(Step):
        train(RECIPE.model_copy(update={"network": network}), data, tmp_path / "out", "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


@pytest.mark.accept
@pytest.mark.parametrize("part", ["graph", "weights"])
def test_the_size_limit_of_a_recipe_is_checked_before_the_first_step(
    data: Path, tmp_path: Path, part: str
) -> None:
    told = refusal(data, tmp_path / "out", exporting(**{f"max_{part}_megabytes": 1}))
    assert "bytes, over 1000000" in told


def test_more_classes_than_any_bundle_may_have_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greengrocer.bundles.bundle.MAX_BYTES", 3_000_000)
    told = refusal(data, tmp_path / "out")
    assert told.startswith("the bundle of this training would be refused: ")
    assert told.endswith("larger than 3000000 bytes")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("new\nline", "has U+000A", marks=pytest.mark.accept),
        pytest.param("x" * 201, "has 201 characters: it must have 1", marks=pytest.mark.accept),
        (os.fsdecode(b"caf\xe9"), r"'caf\udce9' has U+DCE9"),
    ],
)
def test_a_class_name_that_is_invalid_in_a_manifest_is_refused(
    tmp_path: Path, name: str, told: str
) -> None:
    assert told in refusal(write_classes(tmp_path / "data", "dark", name), tmp_path / "out")


@pytest.mark.parametrize("out", ["file/out", "x" * 240, "nothing"])
def test_an_unwritable_output_is_refused(data: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "nothing").symlink_to(tmp_path / "nowhere")
    assert refusal(data, tmp_path / out).startswith(f"{tmp_path / out} ")


def test_a_full_disk_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 10**6))
    told = refusal(data, tmp_path / "out")
    assert "has 1 MB free, and this training needs " in told


@pytest.mark.parametrize("place", ["val/light/0.jpg", "train/light/1.jpg"])
def test_a_damaged_image_is_refused_whenever_it_would_be_needed(tmp_path: Path, place: str) -> None:
    for split in ("train", "val"):
        write_classes(tmp_path / "data" / split, "dark", "light")
    path = tmp_path / "data" / place
    path.write_bytes(path.read_bytes()[:-40])
    assert str(path) in refusal(tmp_path / "data", tmp_path / "out")


def test_too_few_images_to_hold_any_out_are_refused(data: Path, tmp_path: Path) -> None:
    for path in data.rglob("1.jpg"):
        path.unlink()
    assert "too few images" in refusal(data, tmp_path / "out")
    recipe = RECIPE.model_copy(update={"data": Data(splits=("train", "val"))})
    assert "no split 'val'" in refusal(data, tmp_path / "out", recipe)


def test_a_folder_without_goldens_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"holds no \*\.jpg"):
        train(RECIPE, data, tmp_path / "out", "cpu", goldens=tmp_path / "empty")


@pytest.mark.parametrize("stage", ["fold2of2", "refit"])
def test_checkpoints_of_later_stages_are_checked_first(
    tmp_path: Path, stage: str, scenes: Path
) -> None:
    path = tmp_path / f"out.{stage}.checkpoint.pt"
    path.write_bytes(b"PK damaged")
    assert refusal(scenes, tmp_path / "out", folds=2).startswith(f"{path} cannot be read, delete")
    torch.save({"epoch": 1}, path)
    assert "is not a checkpoint of a training" in refusal(scenes, tmp_path / "out", folds=2)


def test_a_teacher_that_lacks_a_later_stage_is_refused(scenes: Path, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"distillation": Distillation(weight=1.0)})
    with pytest.raises(UsageError, match=r"there is no .*teacher\.fold1of2\.checkpoint\.pt"):
        train(recipe, scenes, tmp_path / "out", "cpu", folds=2, teachers=[tmp_path / "teacher"])
