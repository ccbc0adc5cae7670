"""Which images were shot in turn, by the numbers that cameras put into file names.

Two numbers an image travel in a bundle's statistics, and no name: so images that are taught later
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
from greengrocer.datasets.layouts.names import one_form
from greengrocer.engines.engine import Floats
from greengrocer.features.statistics import Shots
from greengrocer.figures.score import ClassIds

_NUMBERED = re.compile(r"^(.*?)(\d{1,9})(\D*)$")
_NONE = -1, -1


def shots_of(paths: Sequence[Path]) -> Shots:
    """Of N files: a hash of the name around its last number, and the number; int64 [N, 2].

    Both are -1 where the name has no number.
    """
    return np.array([_shot(one_form(path.stem)) for path in paths], np.int64).reshape(-1, 2)


def with_bursts(scenes: Sequence[int], shots: Shots, labels: ClassIds, rows: Floats) -> list[int]:
    """The group of each image: its scene, and those of the images shot just before and after it.

    A burst is of one class, and names alone do not make one: the features ``rows`` [N, D], of
    length 1, of two neighbours have a cosine of at least 0.8, as in the check of the data.
    """
    sets = DisjointSets(len(scenes))
    first: dict[int, int] = {}
    runs: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for index, (scene, (name, number)) in enumerate(zip(scenes, shots.tolist(), strict=True)):
        sets.join(first.setdefault(scene, index), index)
        if number >= 0:
            runs[int(labels[index]), name].append((number, index))
    for run in runs.values():
        for (before, one), (after, other) in pairwise(sorted(run)):
            if after - before <= 1 and float(rows[one] @ rows[other]) >= BURST_ALIKE:
                sets.join(one, other)
    return list(sets.numbers())


def _shot(name: str) -> tuple[int, int]:
    found = _NUMBERED.match(name)
    if found is None:
        return _NONE
    before, number, after = found.groups()
    hashed = hashlib.sha256(f"{before}\n{after}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(hashed[:7], "big"), int(number)
