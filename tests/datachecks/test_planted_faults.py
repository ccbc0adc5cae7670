"""Faults planted into real photos are found: of 40 of each kind at least 40, 38 and 30.

False alarms are suspects whose label is that of the data set, and duplicates of images that the
data set has in two classes. The data set's own near-duplicates, second shots of one pile of fruit,
are none: all of them that were looked at are one, and no pair of two classes was ever found.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from greengrocer.datachecks.duplicates import find_duplicates
from greengrocer.datachecks.findings import Copy
from greengrocer.datachecks.groups import find_groups
from greengrocer.datachecks.hold_out import hold_out
from greengrocer.datachecks.labels import suspect_labels
from greengrocer.datasets.dataset import LabelledImage, read_split
from greengrocer.features.extract import extract
from support.checked_folders import read_thumbnails
from support.planting import Planted, plant

SEEDS = (20, 21, 22)


class Found(NamedTuple):
    exact: int
    near: int
    labels: int
    false_duplicates: int
    false_labels: int
    own_near_duplicates: int
    own_copies: int


def check(planted: Planted, truth: dict[Path, int], classes: Sequence[str]) -> Found:
    """Run the checks, and compare what they find with what was planted."""
    images, copies = planted.images, planted.copies
    features = extract(images)
    thumbnails = read_thumbnails(images)
    duplicates = find_duplicates(images, features, thumbnails)
    groups = find_groups(images, features, thumbnails, duplicates)
    suspects = suspect_labels(images, features, groups, classes)
    hit: set[Path] = set()
    own = []
    for each in duplicates:
        one, other = copies.get(each.path, each.path), copies.get(each.original, each.original)
        if one == other:
            hit |= {each.path, each.original} & copies.keys()
        else:
            own.append((each, truth[one] == truth[other]))
    chosen = hold_out(images, groups)
    side = dict(zip((image.path for image in images), chosen.held_out, strict=True))
    assert all(side[path] == side[source] for path, source in copies.items() if path in hit)
    return Found(
        exact=len(hit & planted.exact.keys()),
        near=len(hit & planted.near.keys()),
        labels=sum(each.path in planted.swapped for each in suspects),
        false_duplicates=sum(not genuine for _, genuine in own),
        false_labels=sum(each.path not in planted.swapped for each in suspects),
        own_near_duplicates=sum(genuine for _, genuine in own),
        own_copies=sum(genuine and each.kind is not Copy.NEAR for each, genuine in own),
    )


@pytest.mark.accept
@pytest.mark.parametrize("seed", SEEDS)
def test_of_forty_of_each_kind(dataset: Path, tmp_path: Path, seed: int) -> None:
    split = read_split(dataset, "train")
    chosen = np.random.default_rng(seed).choice(len(split.pictures), 1000, replace=False)
    pictures = [split.pictures[index] for index in chosen]
    found = check(
        plant(pictures, tmp_path, seed),
        {picture.path: picture.label for picture in pictures},
        split.taxonomy.classes,
    )
    sys.stdout.write(f"seed {seed}: {found}\n")
    assert found.exact == 40
    assert found.near >= 38
    assert found.labels >= 30
    assert found.false_duplicates + found.false_labels <= 20


@pytest.mark.accept
def test_of_ten_of_each_kind_among_packages(dataset: Path, tmp_path: Path) -> None:
    """Another folder: packages alone, whose classes differ by what is printed on them."""
    split = read_split(dataset, "train")
    pictures = [picture for picture in split.pictures if "Packages" in picture.path.parts]
    found = check(
        plant(pictures, tmp_path, 1, each=10),
        {picture.path: picture.label for picture in pictures},
        split.taxonomy.classes,
    )
    sys.stdout.write(f"packages, {len(pictures)} photos: {found}\n")
    assert found.exact == 10
    assert found.near >= 9
    assert found.labels >= 7
    assert found.false_duplicates + found.false_labels <= len(pictures) // 50


@pytest.mark.accept
def test_of_forty_of_each_kind_under_coarse_labels(dataset: Path, tmp_path: Path) -> None:
    """Another folder: few wide classes, so that the odds of a wrong label are lower."""
    split = read_split(dataset, "train")
    coarse, coarse_of = split.taxonomy.coarse, split.taxonomy.coarse_of
    assert coarse is not None
    assert coarse_of is not None
    chosen = np.random.default_rng(7).choice(len(split.pictures), 1000, replace=False)
    pictures: list[LabelledImage] = []
    for index in chosen:
        picture = split.pictures[index]
        pictures.append(replace(picture, label=coarse_of[picture.label]))
    found = check(
        plant(pictures, tmp_path, 2),
        {picture.path: picture.label for picture in pictures},
        coarse,
    )
    sys.stdout.write(f"coarse: {found}\n")
    assert found.exact == 40
    assert found.near >= 38
    assert found.labels >= 30
    assert found.false_duplicates + found.false_labels <= 20
