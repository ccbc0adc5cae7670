"""Whether all photos of a place are kept on one side, and if not, why: one rule for all commands.

Places that share a photo, or near-duplicates, are one: else a copy would be on the other side.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datachecks.duplicates import find_duplicates
from greengrocer.datachecks.files import OpenedImage, open_all
from greengrocer.datachecks.findings import Duplicate
from greengrocer.datachecks.problems import counted, shown
from greengrocer.datachecks.thumbnails import blank_thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.features.backbone import GEOMETRY
from greengrocer.serving.resources import usable_processors

FEWEST_PLACES = 3  # of which whole ones can be held out


class Obstacle(Enum):
    """Why places are not kept whole."""

    FEW = auto()  # there are fewer than three
    COPIES = auto()  # they would do, but copies join them
    CLASSES = auto()  # half of the classes or more are in one of them only
    UNEVEN = auto()  # no choice of them leaves enough images on each side
    SPLITS = auto()  # the folder has a split "val"


@dataclass(frozen=True)
class Places:
    """The places of N images.

    ``joined`` [N] names each image's, and places that share copies by the first of their names.
    ``pair`` are near-duplicates in two places, where there are some.
    """

    names: tuple[str, ...]
    joined: tuple[str | None, ...]
    obstacle: Obstacle | None
    pair: tuple[Path, Path] | None

    def told(self, root: Path) -> tuple[str, str | None]:
        """Why places are not kept whole, and what to do; paths are below ``root``."""
        count = counted(len(self.names), "place")
        if self.obstacle is None:
            return "whole places are held out together", None
        if self.obstacle is Obstacle.SPLITS:
            return f"the splits decide, not the {count}", None
        why, todo = {
            Obstacle.FEW: (
                f"{count}, three are needed",
                "add photos from other places, with a folder for each place",
            ),
            Obstacle.COPIES: (
                f"near-duplicates join the {count}{self._example(root)}",
                "remove one photo of each such pair, or put both into the folder of one place",
            ),
            Obstacle.CLASSES: (
                f"{count}, but half of the classes or more are in one of them only",
                "add photos of these classes from the other places",
            ),
            Obstacle.UNEVEN: (
                f"{count}, but no choice of them is at most half of the photos and of most classes",
                "add photos from the places that have few, or from more places",
            ),
        }[self.obstacle]
        return f"no place as a whole, so the figures flatter: {why}", todo

    def _example(self, root: Path) -> str:
        if self.pair is None:
            return ""
        one, other = self.pair
        return f", as {shown(one, root)} = {shown(other, root)}"


def judge_places(
    images: Sequence[LabelledImage],
    places: Sequence[str | None],
    copies: Sequence[int],
    duplicates: Sequence[Duplicate],
) -> Places:
    """What keeps the ``places`` of N images whole, or does not; ``copies`` numbers those of each.

    ``duplicates`` are the pairs that made the copies.
    """
    joined = join_places(places, copies)
    labels = [image.label for image in images]
    found = find_obstacle(joined, labels)
    if found is not None and find_obstacle(places, labels) is None:
        found = Obstacle.COPIES
    of = dict(zip((image.path for image in images), places, strict=True))
    pairs = ((each.path, each.original) for each in duplicates)
    crossing = (pair for pair in pairs if len({of.get(path) for path in pair} - {None}) == 2)
    names = tuple(sorted({name for name in places if name}))
    return Places(names, joined, found, next(crossing, None))


def find_obstacle(places: Sequence[Hashable | None], labels: Sequence[int]) -> Obstacle | None:
    """FEW or CLASSES, by the place of each of N images and its class; None where neither is."""
    if len(set(places) - {None}) < FEWEST_PLACES:
        return Obstacle.FEW
    inside: dict[int, set[Hashable | None]] = defaultdict(set)
    for place, label in zip(places, labels, strict=True):
        inside[label].add(place)
    alone = sum(len(found) < 2 for found in inside.values())
    return Obstacle.CLASSES if 2 * alone >= len(inside) else None


def join_places(places: Sequence[str | None], copies: Sequence[int]) -> tuple[str | None, ...]:
    """The place of each of N images, the first by name of those that share copies with it."""
    sets = DisjointSets(len(places))
    first: dict[tuple[str, object], int] = {}
    for index, (place, copy) in enumerate(zip(places, copies, strict=True)):
        sets.join(first.setdefault(("copies", copy), index), index)
        if place is not None:
            sets.join(first.setdefault(("place", place), index), index)
    numbers = sets.numbers()
    name: dict[int, str] = {}
    for number, place in zip(numbers, places, strict=True):
        if place is not None:
            name[number] = min(place, name.get(number, place))
    return tuple(name.get(number) for number in numbers)


def find_places(
    images: Sequence[LabelledImage], features: Floats, places: Sequence[str | None]
) -> Places | None:
    """``judge_places`` of images whose copies are not known; None where they have no place.

    ``features`` is float32 [N, D]. Files are decoded where there are places enough.
    """
    if not any(places):
        return None
    if find_obstacle(places, [image.label for image in images]) is not None:
        return judge_places(images, places, range(len(images)), ())
    thumbnails = blank_thumbnails(len(images))

    def look(index: int, opened: OpenedImage, data: bytes, image: Image.Image) -> None:
        thumbnails.add(index, (opened.width, opened.height), data, image)

    open_all([image.path for image in images], None, look, GEOMETRY.size)
    duplicates = find_duplicates(
        images, np.asarray(features, np.float32), thumbnails, threads=usable_processors()
    )
    at = {image.path: index for index, image in enumerate(images)}
    sets = DisjointSets(len(images))
    for each in duplicates:
        sets.join(at[each.path], at[each.original])
    return judge_places(images, places, sets.numbers(), duplicates)
