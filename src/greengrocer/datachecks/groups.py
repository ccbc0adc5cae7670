"""Groups: images that belong together, so that no split may put some of them on each side.

Near-duplicates, bursts (consecutive file names, or seconds between two shots), scenes (images of
one class whose features point the same way) and places (the same sub-folder of a class). Where the
outermost folders are places, ``whole_places`` keeps all photos of one together, of whatever class.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datachecks.findings import Duplicate
from greengrocer.datachecks.thumbnails import Thumbnails
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.layouts.names import split_of
from greengrocer.engines.engine import Floats

# Cosine of the features of two images of one scene: where held-out scenes are about as hard for a
# fine-tuned network as images from other shops (docs/decisions/005-scenes.md). A folder whose
# classes resemble one another more than that gets a higher one.
ALIKE = 0.88
STRANGERS = 0.9  # quantile of the likeness of images of different classes that a scene exceeds
MOST_ALIKE = 0.97
BURST_ALIKE = 0.8  # names or times alone do not make a burst
BURST_SECONDS = 10.0
SAMPLE = 2000  # images that the threshold is calibrated on
BLOCK = 256

_NUMBERED = re.compile(r"^(.*?)(\d{1,9})(\D*)$")


class Tie(StrEnum):
    """Why images belong together, the strongest reason first."""

    DUPLICATE = "near-duplicates"
    BURST = "a burst"
    SCENE = "one scene"
    PLACE = "one place"


@dataclass(frozen=True)
class Groups:
    """The group of each of N images, numbered from 0 in the order in which they come."""

    of: tuple[int, ...]
    ties: dict[int, tuple[Tie, ...]]  # of each group of two or more: what holds it together
    scene_cosine: float  # from which two images of a class are one scene
    copies: tuple[int, ...]  # the same as ``of``, but by near-duplicates alone

    def members(self) -> list[list[int]]:
        """The images of each group."""
        found: list[list[int]] = [[] for _ in range(max(self.of, default=-1) + 1)]
        for index, group in enumerate(self.of):
            found[group].append(index)
        return found


def find_groups(
    images: Sequence[LabelledImage],
    features: Floats,
    thumbnails: Thumbnails,
    duplicates: Iterable[Duplicate] = (),
    *,
    by_folder: bool = True,
) -> Groups:
    """The groups of ``images``; ``features`` float32 [N, D] are as the network gives them.

    Sub-folders that recur in several classes are taken for places ``by_folder``.
    """
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    unit = np.asarray(unit, np.float32)
    sets = _Ties(len(images))
    at = {image.path: index for index, image in enumerate(images)}
    for duplicate in duplicates:
        if duplicate.path in at and duplicate.original in at:
            sets.join(at[duplicate.path], at[duplicate.original], Tie.DUPLICATE)
    copies = sets.numbers()
    for one, other in _bursts(images, thumbnails.taken):
        if float(unit[one] @ unit[other]) >= BURST_ALIKE:
            sets.join(one, other, Tie.BURST)
    cosine = scene_cosine(images, unit)
    for members in _classes(images).values():
        _join_scenes(sets, unit, np.array(members), cosine)
    for one, other in _places(images) if by_folder else ():
        sets.join(one, other, Tie.PLACE)
    return sets.groups(cosine, copies)


def whole_places(groups: Groups, places: Sequence[str | None]) -> Groups:
    """``groups`` with all images of a place as one; ``places`` [N] names that of each image.

    Scenes do not reach from one place into another: there the same things are other photos.
    Near-duplicates do.
    """
    sets = DisjointSets(len(places))
    first: dict[object, int] = {}
    for index, place in enumerate(places):
        for key in (
            ("copies", groups.copies[index]),
            ("place", place) if place is not None else ("group", groups.of[index]),
        ):
            sets.join(first.setdefault(key, index), index)
    of = sets.numbers()
    found: dict[int, set[Tie]] = defaultdict(set)
    for group, before, place in zip(of, groups.of, places, strict=True):
        found[group].update(groups.ties.get(before, ()) if place is None else (Tie.PLACE,))
    order = list(Tie)
    sizes = Counter(of)
    ties = {
        group: tuple(sorted(found[group], key=order.index)) for group in sizes if sizes[group] > 1
    }
    return Groups(of, ties, groups.scene_cosine, groups.copies)


def scene_cosine(images: Sequence[LabelledImage], unit: Floats) -> float:
    """The cosine from which two images of a class are one scene in this very folder.

    Images of two classes are no copies of one another, as a rule: what most of them reach with
    their nearest neighbour of another class says nothing of a scene. ``unit`` is [N, D], length 1.
    """
    labels = np.array([image.label for image in images])
    step = max(1, len(images) // SAMPLE)
    rows = np.arange(0, len(images), step)
    nearest = []
    for at in range(0, len(rows), BLOCK):
        some = rows[at : at + BLOCK]
        alike = unit[some] @ unit.T
        alike[labels[some][:, None] == labels[None]] = -1
        nearest.append(alike.max(axis=1, initial=-1))
    if not nearest:
        return ALIKE
    return float(np.clip(np.quantile(np.concatenate(nearest), STRANGERS), ALIKE, MOST_ALIKE))


def _join_scenes(sets: "_Ties", unit: Floats, members: NDArray[np.int64], cosine: float) -> None:
    for start in range(0, len(members), BLOCK):
        rows = members[start : start + BLOCK]
        ones, others = np.nonzero(unit[rows] @ unit[members].T >= cosine)
        known = np.array(sets.numbers())  # most pairs of a large class are joined by now
        apart = known[rows[ones]] != known[members[others]]
        for one, other in zip(rows[ones[apart]], members[others[apart]], strict=True):
            sets.join(int(one), int(other), Tie.SCENE)


def _classes(images: Sequence[LabelledImage]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        found[image.label].append(index)
    return found


def _bursts(
    images: Sequence[LabelledImage], taken: NDArray[np.float64]
) -> Iterable[tuple[int, int]]:
    """Pairs of a class that follow one another by file name or by the camera's clock."""
    runs: dict[tuple[int, Path, str, str], list[tuple[float, int]]] = defaultdict(list)
    shots: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for index, image in enumerate(images):
        found = _NUMBERED.match(image.path.stem)
        if found:
            before, number, after = found.groups()
            runs[image.label, image.path.parent, before, after].append((int(number), index))
        if not np.isnan(taken[index]):
            shots[image.label].append((float(taken[index]), index))
    for run in runs.values():
        yield from _following(run, 1)
    for shot in shots.values():
        yield from _following(shot, BURST_SECONDS)


def _following(run: list[tuple[float, int]], most: float) -> Iterable[tuple[int, int]]:
    """Pairs of images that are neighbours in ``run`` (position, image), at most so far apart."""
    for (before, one), (after, other) in pairwise(sorted(run)):
        if after - before <= most:
            yield one, other


def _places(images: Sequence[LabelledImage]) -> Iterable[tuple[int, int]]:
    """Pairs of a class in one sub-folder, where the same sub-folders recur in several classes."""
    folders: dict[tuple[int, str], list[int]] = defaultdict(list)
    parents: dict[int, set[Path]] = defaultdict(set)
    for index, image in enumerate(images):
        folders[image.label, image.path.parent.name].append(index)
        parents[image.label].add(image.path.parent)
    divided = {label for label, found in parents.items() if len(found) > 1}
    labels_of: dict[str, set[int]] = defaultdict(set)
    for label, name in folders:
        if label in divided and split_of(name) is None and name.lower() != "images":
            labels_of[name].add(label)
    for (label, name), members in folders.items():
        if label in divided and len(labels_of[name]) > 1 and len(members) > 1:
            yield from ((members[0], other) for other in members[1:])


class _Ties:
    """Groups in the making, and what joined them."""

    def __init__(self, count: int) -> None:
        self._sets = DisjointSets(count)
        self._joins: list[tuple[int, Tie]] = []

    def join(self, one: int, other: int, tie: Tie) -> None:
        if self._sets.join(one, other):
            self._joins.append((one, tie))

    def numbers(self) -> tuple[int, ...]:
        return self._sets.numbers()

    def groups(self, cosine: float, copies: tuple[int, ...]) -> Groups:
        of = self.numbers()
        found: dict[int, set[Tie]] = defaultdict(set)
        for index, tie in self._joins:
            found[of[index]].add(tie)
        order = list(Tie)
        ties = {group: tuple(sorted(some, key=order.index)) for group, some in found.items()}
        return Groups(of, ties, cosine, copies)
