"""The hold-out keeps groups whole, has each class on both sides, and stays where it is."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.hold_out import HoldOut, hold_out, read_hold_out, write_hold_out
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.errors import DatasetUnusable, UsageError
from support.checked_folders import made_up


def folder(seed: int, classes: int = 8, groups: int = 60) -> tuple[list[LabelledImage], list[int]]:
    """Images of classes of different sizes, in groups of one to six of one class."""
    random = np.random.default_rng(seed)
    labels: list[int] = []
    of: list[int] = []
    for group in range(groups):
        label = int(random.integers(0, classes)) if group >= classes else group
        size = int(random.integers(1, 7))
        labels += [label] * size
        of += [group] * size
    return list(made_up(labels, f"seed{seed}")), of


def grouped(of: Sequence[int]) -> Groups:
    return Groups(tuple(of), {}, 0.88, tuple(of))


def sides(images: Sequence[LabelledImage], chosen: HoldOut) -> dict[int, set[bool]]:
    found: dict[int, set[bool]] = defaultdict(set)
    for image, side in zip(images, chosen.held_out, strict=True):
        found[image.label].add(side)
    return found


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_whole_and_classes_are_on_both_sides(seed: int) -> None:
    images, of = folder(seed)
    chosen = hold_out(images, grouped(of))
    for group in set(of):
        assert len({s for s, g in zip(chosen.held_out, of, strict=True) if g == group}) == 1
    inside: dict[int, set[int]] = defaultdict(set)
    for image, group in zip(images, of, strict=True):
        inside[image.label].add(group)
    for label, both in sides(images, chosen).items():
        assert (len(both) == 2) == (len(inside[label]) > 1)
        assert (label in chosen.one_sided) == (len(inside[label]) == 1)
    assert 0.08 < np.mean(chosen.held_out) < 0.4


def test_singles_are_held_out_in_the_share_that_was_asked() -> None:
    images = made_up([0, 1, 2, 3] * 250)
    chosen = hold_out(images, grouped(range(1000)))
    assert 0.15 < np.mean(chosen.held_out) < 0.25


def test_hardly_anything_moves_when_one_file_goes() -> None:
    """Another file may only move where a bound on its class's share was just met."""
    moved = files = 0
    for seed in range(6):
        images, of = folder(seed)
        before = dict(zip(images, hold_out(images, grouped(of)).held_out, strict=True))
        for gone in range(len(images)):
            rest = images[:gone] + images[gone + 1 :]
            after = hold_out(rest, grouped(of[:gone] + of[gone + 1 :])).held_out
            moved += sum(before[i] != side for i, side in zip(rest, after, strict=True))
            files += 1
    assert moved / files < 0.5  # other files that change side, for each file that goes


def test_a_group_of_most_of_its_class_trains() -> None:
    images = made_up([0] * 20 + [1] * 20)
    chosen = hold_out(images, grouped([0] * 18 + [1, 2] + list(range(3, 23))))
    assert not any(chosen.held_out[:18])
    assert any(chosen.held_out[18:20])


def test_a_class_of_one_group_is_named() -> None:
    images = made_up([0, 0, 1, 1])
    chosen = hold_out(images, grouped([0, 0, 1, 2]))
    assert chosen.one_sided == (0,)
    assert chosen.held_out[:2] == (False, False)
    assert sum(chosen.held_out[2:]) == 1


def test_no_images() -> None:
    assert hold_out([], grouped([])) == HoldOut((), ())


def test_any_name_is_read_back(tmp_path: Path) -> None:
    names = (
        'a,"b".jpg',
        "two\nlines.jpg",
        "two\rlines.jpg",
        " blank .jpg",
        "é.jpg",
        "\udcff.jpg",
        "=1+1.jpg",
    )
    images = [LabelledImage(tmp_path / "photos" / name, 0, name) for name in names]
    chosen = HoldOut((True, False, True, False, True, False, True), ())
    file = tmp_path / "split.csv"
    write_hold_out(file, tmp_path / "photos", images, chosen)
    found = read_hold_out(file, tmp_path / "photos")
    assert found == {i.path: chosen.split_of(at) for at, i in enumerate(images)}


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    names = [
        "=cmd|' C calc'!A0/1.jpg",
        "+1/1.jpg",
        "-1/1.jpg",
        "@a/1.jpg",
        "\t=1/1.jpg",
        "a/=1.jpg",
    ]
    images = [LabelledImage(tmp_path / name, 0, name) for name in names]
    file = tmp_path / "split.csv"
    write_hold_out(file, tmp_path, images, HoldOut((True,) * len(names), ()))
    with file.open(newline="") as text:
        cells = [cell for row in csv.reader(text) for cell in row]
    assert all(cell[0] in "pstva." for cell in cells)
    assert "a/=1.jpg" in cells
    assert read_hold_out(file, tmp_path) == dict.fromkeys((each.path for each in images), "val")


def test_images_of_the_split_test_are_on_neither_side(tmp_path: Path) -> None:
    images = made_up([0, 0, 0])
    root = images[0].path.parent
    file = tmp_path / "split.csv"
    write_hold_out(file, root, images, HoldOut((False, True, False), ()), ("train", "val", "test"))
    assert read_hold_out(file, root) == {images[0].path: "train", images[1].path: "val"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "first line"),
        ("file,split\na.jpg,val\n", "first line"),
        ("path,split\na.jpg,held\n", "line 2: not a path and 'train' or 'val'"),
        ("path,split\na.jpg\n", "line 2"),
        ('path,split\n"a.jpg\n', "not a CSV"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "split.csv"
    file.write_text(content)
    with pytest.raises(DatasetUnusable, match=says):
        read_hold_out(file, tmp_path)


def test_a_list_that_is_missing_or_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnusable, match="No such file"):
        read_hold_out(tmp_path / "none.csv", tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        write_hold_out(tmp_path / "no" / "split.csv", tmp_path, [], HoldOut((), ()))


def test_the_only_image_of_a_class_trains_with_its_copies() -> None:
    """Though its place is held out."""
    images = made_up([0, 0, 1, 0, 0, 0, 0, 0, 2])
    of = (0, 0, 0, 1, 2, 3, 4, 5, 6)
    copies = (0, 1, 1, 3, 4, 5, 6, 7, 8)
    chosen = hold_out(images, Groups(of, {}, 0.88, copies), share=1.0)
    assert not any(chosen.held_out[at] for at in (1, 2, 8))
    assert {1, 2} <= set(chosen.one_sided)
