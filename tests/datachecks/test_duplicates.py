"""Exact copies, copies in another encoding and altered copies are told from other photos."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datachecks.duplicates import find_duplicates
from greengrocer.datachecks.findings import Copy, Crossing, Duplicate
from greengrocer.datasets.dataset import LabelledImage
from support.checked_folders import gallery_folder, labelled, seen
from support.planting import ALTERATIONS, altered


def found(
    images: tuple[LabelledImage, ...], splits: Sequence[str | None] | None = None
) -> tuple[Duplicate, ...]:
    return find_duplicates(images, *seen(images), splits)


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[LabelledImage, ...]:
    return gallery_folder(tmp_path / "photos")


def test_different_drawings_before_one_background_are_no_duplicates(
    drawn: tuple[LabelledImage, ...],
) -> None:
    assert found(drawn) == ()


def test_many_exact_copies_are_one_finding_each(drawn: tuple[LabelledImage, ...]) -> None:
    source = drawn[3]
    copies = []
    for number in range(12):
        path = source.path.with_name(f"copy{number}.jpg")
        path.write_bytes(source.path.read_bytes())
        copies.append(labelled(path, source.label))
    duplicates = found((*drawn, *copies))
    assert {each.path for each in duplicates} == {copy.path for copy in copies}
    assert {each.original for each in duplicates} == {source.path}
    assert {each.kind for each in duplicates} == {Copy.SAME_FILE}
    assert {each.crossing for each in duplicates} == {Crossing.NOTHING}


def test_the_same_pixels_in_another_encoding_and_size(drawn: tuple[LabelledImage, ...]) -> None:
    source = drawn[5]
    path = source.path.with_suffix(".png")
    with Image.open(source.path) as image:
        image.resize((image.width * 3 // 4, image.height * 3 // 4)).save(path)
    (duplicate,) = found((*drawn, labelled(path, source.label)))
    assert (duplicate.path, duplicate.original) == (path, source.path)  # the larger stays
    assert duplicate.kind is Copy.SAME_PIXELS
    assert duplicate.likeness > 0.97


@pytest.mark.parametrize("kind", ALTERATIONS)
def test_an_altered_copy_is_found(drawn: tuple[LabelledImage, ...], kind: str) -> None:
    random = np.random.default_rng(len(kind))
    copies = {}
    for source in drawn[::6]:
        path = source.path.with_name("altered.jpg")
        path.write_bytes(altered(source.path, random, kind))
        copies[path] = source
    images = (*drawn, *(labelled(path, source.label) for path, source in copies.items()))
    duplicates = found(images)
    pairs = {frozenset((each.path, each.original)) for each in duplicates}
    planted = {frozenset((path, source.path)) for path, source in copies.items()}
    assert pairs <= planted
    assert len(pairs) >= len(planted) - 1


def test_a_copy_of_another_hue_is_another_thing(drawn: tuple[LabelledImage, ...]) -> None:
    """Drawn sets have the same pepper in red and in green."""
    source = next(image for image in drawn if "Red-Bell-Pepper" in image.path.name)
    path = source.path.with_name("green.png")
    with Image.open(source.path) as image:
        red, green, blue = image.convert("RGB").split()
        Image.merge("RGB", (green, red, blue)).save(path)
    assert found((*drawn, labelled(path, source.label))) == ()


def test_leaks_come_before_contradictions_and_say_what_is_wrong(
    drawn: tuple[LabelledImage, ...],
) -> None:
    one, two, three = drawn[0], drawn[1], drawn[2]
    paths = [image.path.with_name("again.jpg") for image in (one, two, three)]
    for image, path in zip((one, two, three), paths, strict=True):
        path.write_bytes(image.path.read_bytes())
    copies = (labelled(paths[0], one.label), labelled(paths[1], 9), labelled(paths[2], three.label))
    splits = [*["train"] * len(drawn), "train", "train", "val"]
    duplicates = found((*drawn, *copies), splits)
    assert [each.crossing for each in duplicates] == list(Crossing)
    leak, contradiction, plain = duplicates
    assert (leak.path, leak.original) == (three.path, paths[2])  # what is held out stays
    assert "in different splits" in leak.reason
    assert contradiction.path == paths[1]
    assert "different labels" in contradiction.reason
    assert plain.reason.startswith("the same file as ")


def test_each_copy_of_what_is_held_out_is_a_leak(drawn: tuple[LabelledImage, ...]) -> None:
    """Whichever of the copies it is told of."""
    held_out, trains, wrong = drawn[0], drawn[1], drawn[2]
    copies = []
    for number in range(2):
        for image, label in ((held_out, held_out.label), (wrong, 9)):
            path = image.path.with_name(f"{image.path.stem} again {number}.jpg")
            path.write_bytes(image.path.read_bytes())
            copies.append(labelled(path, label))
    again = trains.path.with_name("again.jpg")
    again.write_bytes(trains.path.read_bytes())
    images = (*copies, labelled(again, trains.label), *drawn)
    splits = ["train"] * len(images)
    splits[images.index(held_out)] = "val"
    duplicates = found(images, splits)
    by_crossing = Counter(each.crossing for each in duplicates)
    assert by_crossing == {Crossing.SPLITS: 2, Crossing.CLASSES: 1, Crossing.NOTHING: 2}
    leaks = [each for each in duplicates if each.crossing is Crossing.SPLITS]
    assert {each.path for each in leaks} == {copies[0].path, copies[2].path}
    assert all("in different splits" in each.reason for each in leaks)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_folder_of_hardly_any_images(drawn: tuple[LabelledImage, ...], count: int) -> None:
    assert found(drawn[:count]) == ()


def test_plain_images_are_no_copies_by_their_looks(tmp_path: Path) -> None:
    """Nothing can be laid over nothing; only equal bytes say that two of them are one."""
    images = []
    for level in range(40, 80):
        path = tmp_path / f"{level}.png"
        Image.new("RGB", (64, 64), (level, level, level)).save(path)
        images.append(labelled(path, level % 2))
    assert found(tuple(images)) == ()
