"""``greengrocer train PHOTOS``: what is found, what is chosen, and that it goes on."""

from pathlib import Path

import pytest

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.training import one_command
from greengrocer.training.choose import StepCost
from greengrocer.training.data.splits import Splits
from greengrocer.training.job import HOLD_OUT, checkpoint
from greengrocer.training.measured_step import measure_step
from greengrocer.training.one_command import Asked, facts_of, recipe_path, slug, train_photos
from greengrocer.training.recipe import Recipe, read_recipe
from support.make_images import encoded, photo


class Begun(Exception):
    """The training has begun, with this recipe and these images."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes, and a file that is no image."""
    for label, name in enumerate(("left", "right")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            path = tmp_path / "photos" / name / f"{number}.jpg"
            path.write_bytes(encoded(photo(10 * label + number, (96, 72)), "JPEG", quality=90))
    (tmp_path / "photos" / "left" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return tmp_path / "photos"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said; a step is not measured, and the training ends before it begins."""

    def begin(recipe: Recipe, *_: object, splits: Splits, **__: object) -> None:
        raise Begun(recipe, splits)

    monkeypatch.setattr(one_command, "measure_step", lambda *_: StepCost(0.01, 0.05))
    monkeypatch.setattr(one_command, "train", begin)
    return []


def asked(photos: Path, seed: int | None = None, minutes: float | None = None) -> Asked:
    return Asked(photos, photos.with_name("shop"), minutes, seed, "cpu", "`greengrocer train`")


def begun(what: Asked, lines: list[str]) -> tuple[Recipe, Splits]:
    with pytest.raises(Begun) as found:
        train_photos(what, lines.append)
    recipe, splits = found.value.args
    return recipe, splits


def test_it_says_what_it_found_and_what_it_will_do(photos: Path, lines: list[str]) -> None:
    recipe, splits = begun(asked(photos), lines)
    told = "\n".join(lines)
    assert f"{photos}: 12 images of 2 classes, 6 to 6 a class" in told
    assert "cannot be read: left out" in told
    assert "left/broken.jpg" in told
    for part in ("train ", "hold out ", "network ", "size ", "epochs ", "time ", "recipe "):
        assert f"  {part}" in told
    assert len(splits.training) + len(splits.held_out) == 12
    assert {image.label for image in splits.held_out} == {0, 1}
    assert all(image.digest for image in (*splits.training, *splits.held_out))
    assert read_recipe(recipe_path(photos.with_name("shop"))) == recipe
    assert photos.with_name("shop.hold-out.csv").is_file()


def test_what_is_excluded_is_no_class(photos: Path, lines: list[str]) -> None:
    junk = photos / "junk"
    junk.mkdir()
    (junk / "1.jpg").write_bytes(encoded(photo(1), "JPEG"))
    _, splits = begun(asked(photos)._replace(exclude=("junk",)), lines)
    assert splits.taxonomy.classes == ("left", "right")


def test_a_run_that_was_stopped_keeps_its_recipe(photos: Path, lines: list[str]) -> None:
    first, _ = begun(asked(photos, seed=3), lines)
    other, _ = begun(asked(photos, seed=4), lines)
    assert (first.seed, other.seed) == (3, 4), "nothing was trained by the first"
    checkpoint(photos.with_name("shop"), HOLD_OUT).touch()
    again, _ = begun(asked(photos, minutes=1), lines)
    assert again == other
    with pytest.raises(UsageError, match="was begun with the seed 4: go on with it"):
        train_photos(asked(photos, seed=5), lines.append)


def test_a_finished_bundle_is_not_trained_again(photos: Path, lines: list[str]) -> None:
    (photos.with_name("shop")).mkdir()
    (photos.with_name("shop") / "manifest.json").touch()
    with pytest.raises(UsageError, match="is a finished bundle: `greengrocer serve --bundle"):
        train_photos(asked(photos), lines.append)


def test_one_class_cannot_be_trained_on(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "photos" / "only").mkdir(parents=True)
    (tmp_path / "photos" / "only" / "1.jpg").write_bytes(encoded(photo(1), "JPEG"))
    with pytest.raises(DatasetUnusable):
        train_photos(asked(tmp_path / "photos"), lines.append)


def test_a_step_is_measured_on_the_real_images(photos: Path) -> None:
    images = [LabelledImage(path, 0) for path in sorted((photos / "right").iterdir())]
    step = measure_step(Taxonomy(("left", "right")), images, "cpu", 2, "float32")
    assert step.load > 0
    assert step.compute > 0


def test_names_and_counts() -> None:
    assert slug("Mijn foto's (2)") == "mijn-foto-s-2"
    assert slug("¡!") == "photos"
    image = LabelledImage(Path("a"), 1)
    splits = Splits(Taxonomy(("a", "b")), (image, image), (image,), "")
    assert facts_of(splits, "X").counts == (0, 2)
