"""``greengrocer train PHOTOS``: what is found, what is chosen, and that it goes on."""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.training import measured_step, one_command
from greengrocer.training.choose import DatasetFacts, StepCost, choose_recipe, estimate
from greengrocer.training.data.batches import Batch
from greengrocer.training.data.splits import Splits
from greengrocer.training.job import HOLD_OUT, checkpoint
from greengrocer.training.learning.fit import spoken
from greengrocer.training.measured_step import Way, Work, fastest_way, measure
from greengrocer.training.one_command import Asked, facts_of, recipe_path, slug, train_photos
from greengrocer.training.recipe import Recipe, read_recipe
from support.make_images import encoded, jpeg, photo


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

    way, step = Way(torch.get_num_threads(), "float32"), StepCost(0.01, 0.05)
    monkeypatch.setattr(one_command, "fastest_way", lambda _: (way, step, {way: 0.4}))
    monkeypatch.setattr(one_command, "measure", lambda *_: step)
    monkeypatch.setattr(one_command, "train", begin)
    return []


def asked(photos: Path, seed: int | None = None, minutes: float | None = None) -> Asked:
    return Asked(
        photos,
        photos.with_name("shop"),
        minutes,
        seed,
        "cpu",
        "`greengrocer train`",
        time.monotonic(),
    )


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


@pytest.fixture
def work(photos: Path) -> Work:
    images = [LabelledImage(path, 0) for path in sorted((photos / "right").iterdir())]
    return Work(Taxonomy(("left", "right")), images, "cpu", 2)


def two_threads(monkeypatch: pytest.MonkeyPatch, seconds: dict[Way, float]) -> list[Way]:
    """PyTorch has two threads; a step takes as many ``seconds``. Returns the ways as measured."""
    asked: list[Way] = []

    def measured(*given: Recipe | Work | list[Batch] | Way) -> float:
        way = given[-1]
        assert isinstance(way, Way)
        asked.append(way)
        return seconds[way]

    monkeypatch.setattr(measured_step, "_seconds", measured)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    return asked


ONE, TWO, BFLOAT16 = Way(1, "float32"), Way(2, "float32"), Way(1, "bfloat16")


@pytest.mark.parametrize(
    ("has_bfloat16", "seconds", "best"),
    [
        (False, {TWO: 0.4, ONE: 0.7}, TWO),
        (False, {TWO: 0.7, ONE: 0.6}, TWO),
        (False, {TWO: 43, ONE: 3.5}, ONE),
        (True, {TWO: 43, ONE: 3.5, BFLOAT16: 2.5}, BFLOAT16),
        (True, {TWO: 1.0, ONE: 0.7, BFLOAT16: 0.8}, ONE),
    ],
)
def test_a_step_is_computed_in_the_fastest_way(
    work: Work,
    has_bfloat16: bool,
    seconds: dict[Way, float],
    best: Way,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = two_threads(monkeypatch, seconds)
    monkeypatch.setattr(measured_step, "may_gain", lambda _: has_bfloat16)
    way, step, tried = fastest_way(work)
    assert (way, tried) == (best, seconds)
    assert asked == list(seconds), "a processor without bfloat16 is not asked to compute in it"
    assert step.compute == pytest.approx(seconds[best] / 8)


@pytest.mark.accept
def test_a_step_is_measured_on_the_real_images(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_step, "STEPS", 1)
    monkeypatch.setattr(measured_step, "may_gain", lambda _: False)
    threads = torch.get_num_threads()
    way, step, _ = fastest_way(work)
    assert torch.get_num_threads() == threads, "the caller decides which it takes"
    assert step.load > 0
    assert step.compute > 0
    recipe = choose_recipe(DatasetFacts("shop", (3, 3), 2), step, 1e-6)
    assert measure(recipe, work, way).compute > 0


def test_the_time_is_that_of_the_chosen_recipes_step(
    photos: Path, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small step promises more than the chosen recipe's keeps."""
    slow, measured = StepCost(0.01, 0.4), []

    def measure_slow(recipe: Recipe, *_: object) -> StepCost:
        measured.append(recipe)
        return slow

    monkeypatch.setattr(one_command, "measure", measure_slow)
    monkeypatch.setattr(Asked, "minutes_left", lambda self: self.minutes)  # nothing takes time
    recipe, splits = begun(asked(photos, minutes=1.5), lines)
    facts = facts_of(splits, "shop")
    first = choose_recipe(facts, StepCost(0.01, 0.05), 1.5)
    assert measured[0] == first
    assert estimate(first, facts, slow).total > 90 >= estimate(recipe, facts, slow).total
    kept = (recipe.backbone, recipe.augmentation.image_size)
    assert kept in [(each.backbone, each.augmentation.image_size) for each in measured]
    (told,) = [line for line in lines if line.startswith("  time ")]
    assert f"about {spoken(estimate(recipe, facts, slow).total)}" in told


def test_the_time_that_the_check_took_counts(photos: Path, lines: list[str]) -> None:
    late = asked(photos, minutes=20)._replace(began=time.monotonic() - 60 * 20)
    hurried, _ = begun(late, lines)
    assert hurried.optimisation.epochs == 1
    assert any("warning: nothing smaller fits" in line for line in lines)


def test_of_classes_whose_images_are_all_alike_some_are_held_out_too(
    tmp_path: Path, lines: list[str]
) -> None:
    for level, name in ((40, "dark"), (200, "light")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(5):
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(
                jpeg(level, (64 + number, 48))
            )
    _, splits = begun(asked(tmp_path / "photos"), lines)
    assert [image.label for image in splits.held_out] == [0, 1]
    assert any(
        "; of 2 classes whose images are all alike, single images, too" in line for line in lines
    )


def test_whole_places_are_held_out(tmp_path: Path, lines: list[str]) -> None:
    for at, place in enumerate(("north", "south", "east", "west")):
        for label, name in enumerate(("fig", "kale")):
            folder = tmp_path / "photos" / place / name
            folder.mkdir(parents=True)
            for number in range(3):
                seed = 100 * at + 10 * label + number
                (folder / f"{3 * number}.jpg").write_bytes(encoded(photo(seed), "JPEG"))
    _, splits = begun(asked(tmp_path / "photos"), lines)
    held = {image.path.parent.parent.name for image in splits.held_out}
    assert len(splits.held_out) == 6 * len(held)
    share = len(splits.held_out) / 24
    told = f"({share:.0%} of the images, {len(held)} places whole)"
    assert any("hold out" in line and told in line for line in lines)
    assert any("are read as places" in line for line in lines)


def draw(folder: Path, seeds: Iterable[int]) -> None:
    """A class of different photos."""
    folder.mkdir(parents=True)
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(encoded(photo(seed, (96, 72)), "JPEG", quality=90))


@pytest.mark.parametrize("counts", [(5, 5), (3, 300), (2, 2, 2)])
def test_each_class_of_two_or_more_is_on_both_sides(
    tmp_path: Path, lines: list[str], counts: tuple[int, ...]
) -> None:
    for label, count in enumerate(counts):
        draw(tmp_path / "photos" / f"class {label}", range(1000 * label, 1000 * label + count))
    recipe, splits = begun(asked(tmp_path / "photos"), lines)
    held, trains = (Counter(i.label for i in s) for s in (splits.held_out, splits.training))
    for label, count in enumerate(counts):
        assert held[label] >= 1
        assert trains[label] >= 1
        assert held[label] + trains[label] == count
    assert (recipe.optimisation.class_balance > 0) == (max(counts) > 2 * min(counts))


def test_a_class_of_one_image_trains_and_is_named(photos: Path, lines: list[str]) -> None:
    draw(photos / "alone", [99])
    _, splits = begun(asked(photos), lines)
    alone = splits.taxonomy.classes.index("alone")
    assert alone in {image.label for image in splits.training}
    assert alone not in {image.label for image in splits.held_out}
    assert any("warning" in line and "one image" in line for line in lines)
    assert any(line.strip().startswith("alone") for line in lines)


def test_a_run_goes_on_with_its_split_whatever_files_come_and_go(
    photos: Path, lines: list[str]
) -> None:
    _, before = begun(asked(photos), lines)
    checkpoint(photos.with_name("shop"), HOLD_OUT).touch()
    side = {image.path: True for image in before.held_out}
    side |= {image.path: False for image in before.training}
    (gone, *_) = before.training
    gone.path.unlink()
    del side[gone.path]
    draw(photos / "new", range(50, 54))
    for number, image in enumerate((before.held_out[0], before.training[-1])):
        # The same photo, saved again: it may not be on the other side.
        again = image.path.with_name(f"again {number}.jpg")
        with Image.open(image.path) as file:
            file.save(again, quality=80)
        side[again] = side[image.path]
    _, after = begun(asked(photos), lines)
    now = {image.path: True for image in after.held_out}
    now |= {image.path: False for image in after.training}
    assert {path: now[path] for path in side} == side
    assert len(now) == len(side) + 4


def test_names_and_counts() -> None:
    assert slug("Mijn foto's (2)") == "mijn-foto-s-2"
    assert slug("¡!") == "photos"
    image = LabelledImage(Path("a"), 1)
    splits = Splits(Taxonomy(("a", "b")), (image, image), (image,), "")
    assert facts_of(splits, "X").counts == (0, 2)
