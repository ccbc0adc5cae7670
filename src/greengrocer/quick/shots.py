"""Which images were shot in turn, by the numbers that cameras put into file names, and where.

Three numbers an image travel in a bundle's statistics, and no name: so images that are taught later
are grouped as if they had been there from the start.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datachecks.groups import BURST_ALIKE
from greengrocer.datachecks.places import find_obstacle
from greengrocer.datasets.layouts.names import one_form
from greengrocer.engines.engine import Floats
from greengrocer.features.statistics import Shots
from greengrocer.figures.score import ClassIds

_NUMBERED = re.compile(r"^(.*?)(\d{1,9})(\D*)$")
_NONE = -1, -1


def shots_of(paths: Sequence[Path], places: Sequence[str | None] | None = None) -> Shots:
    """Of N files: a hash of the name around its last number, the number, a hash of the place.

    int64 [N, 3]; -1 where the name has no number, or there is no place.
    """
    where = places or [None] * len(paths)
    rows = [
        (*_shot(one_form(path.stem)), -1 if place is None else _hash(f"place {place}"))
        for path, place in zip(paths, where, strict=True)
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def with_bursts(scenes: Sequence[int], shots: Shots, labels: ClassIds, rows: Floats) -> list[int]:
    """The group of each image: its scene, and those of the images shot just before and after it.

    A burst is of one class, and names alone do not make one: the features ``rows`` [N, D], of
    length 1, of two neighbours have a cosine of at least 0.8, as in the check of the data.
    """
    sets = DisjointSets(len(scenes))
    first: dict[int, int] = {}
    runs: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for index, (scene, (name, number, _)) in enumerate(zip(scenes, shots.tolist(), strict=True)):
        sets.join(first.setdefault(scene, index), index)
        if number >= 0:
            runs[int(labels[index]), name].append((number, index))
    for run in runs.values():
        for (before, one), (after, other) in pairwise(sorted(run)):
            if after - before <= 1 and float(rows[one] @ rows[other]) >= BURST_ALIKE:
                sets.join(one, other)
    return list(sets.numbers())


def by_place(shots: Shots, labels: ClassIds) -> bool:
    """Whether places are held out whole, by the rule of the check of the data."""
    places = [place if place >= 0 else None for place in shots[:, 2].tolist()]
    return find_obstacle(places, labels.tolist()) is None


def place_folds(shots: Shots, labels: ClassIds, folds: Sequence[int], most: int) -> list[int]:
    """``folds``, but for images of places, of which there are enough: one fold a place.

    The largest place first, each to the smallest of ``most`` folds. A class whose places are all in
    one fold keeps its own ``folds``: a head must have seen some of it.
    """
    places, found = shots[:, 2], list(folds)
    names, sizes = np.unique(places[places >= 0], return_counts=True)
    if not by_place(shots, labels):
        return found
    total = np.zeros(min(most, len(names)), int)
    of: dict[int, int] = {}
    for index in np.lexsort((names, -sizes)).tolist():
        fold = int(total.argmin())
        of[int(names[index])] = fold
        total[fold] += sizes[index]
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & (places >= 0)).tolist()
        chosen = {index: of[int(places[index])] for index in members}
        if len(set(chosen.values())) > 1:
            for index, fold in chosen.items():
                found[index] = fold
    return found


def _shot(name: str) -> tuple[int, int]:
    found = _NUMBERED.match(name)
    if found is None:
        return _NONE
    before, number, after = found.groups()
    return _hash(f"{before}\n{after}"), int(number)


def _hash(text: str) -> int:
    hashed = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(hashed[:7], "big")
