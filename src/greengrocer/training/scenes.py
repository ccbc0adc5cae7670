"""Scenes: near-identical frames of one class, which no split may divide, or its answers leak."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from greengrocer.datasets.labelled import LabelledPicture
from greengrocer.engines.engine import Floats
from greengrocer.training.pictures import read_picture

SIDE = 16  # pixels of a thumbnail
ALIKE = 0.8  # correlation of two frames of one scene, wherever they stand
ALIKE_IN_A_ROW = 0.5  # the same for files that follow each other in one folder
HOLD_OUT_FOLDS = 4
NEVER_HELD_OUT = -1  # the fold of a class of one scene: a model must see it to know it


def group_scenes(pictures: Sequence[LabelledPicture]) -> list[int]:
    """The scene of each picture, numbered from 0 in the order in which they come.

    Two pictures of a class share a scene if their thumbnails correlate by at least 0.8, or by 0.5
    where their file names follow each other in one folder; and so do their other neighbours.
    Raises DatasetUnusable for a picture that cannot be read.
    """
    parent = list(range(len(pictures)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    classes = defaultdict(list)
    for index, picture in enumerate(pictures):
        classes[picture.label].append(index)
    for members in classes.values():
        members.sort(key=lambda index: _reading_order(pictures[index].path))
        paths = [pictures[index].path for index in members]
        for one, other in _alike(paths):
            parent[root(members[one])] = root(members[other])
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(index), len(numbers)) for index in range(len(pictures))]


def scene_folds(
    pictures: Sequence[LabelledPicture], groups: Sequence[int], folds: int, seed: int
) -> list[int]:
    """The fold of each picture, 0 to ``folds`` - 1; ``groups`` are the pictures' scenes.

    Each class is spread as evenly as its scenes allow: the largest scene first, each to the fold
    that has least of the class, then least of all. A class of one scene is NEVER_HELD_OUT.
    """
    random = np.random.default_rng(seed)
    scenes: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (picture, group) in enumerate(zip(pictures, groups, strict=True)):
        scenes[picture.label][group].append(index)
    found = [NEVER_HELD_OUT] * len(pictures)
    total = np.zeros(folds, int)
    for label in sorted(scenes):
        members = list(scenes[label].values())
        if len(members) == 1:
            continue
        shuffled = [members[int(index)] for index in random.permutation(len(members))]
        count, chance = np.zeros(folds, int), random.permutation(folds)
        for scene in sorted(shuffled, key=len, reverse=True):
            fold = int(np.lexsort((chance, total, count))[0])
            count[fold] += len(scene)
            total[fold] += len(scene)
            for index in scene:
                found[index] = fold
    return found


def scene_hold_out(
    pictures: Sequence[LabelledPicture], seed: int
) -> tuple[tuple[LabelledPicture, ...], tuple[LabelledPicture, ...]]:
    """The pictures for training, and one of 4 folds of scenes to hold out."""
    folds = scene_folds(pictures, group_scenes(pictures), HOLD_OUT_FOLDS, seed)
    training = tuple(p for p, fold in zip(pictures, folds, strict=True) if fold != 0)
    return training, tuple(p for p, fold in zip(pictures, folds, strict=True) if fold == 0)


def _alike(paths: Sequence[Path]) -> Iterable[tuple[int, int]]:
    """The pairs of places in ``paths``, which are in reading order, that share a scene."""
    thumbnails = np.stack([_thumbnail(path) for path in paths])
    for one, path in enumerate(paths):
        # Row by row, for a class may have many pictures.
        correlations = thumbnails[one + 1 :] @ thumbnails[one] / SIDE**2
        for other, correlation in enumerate(correlations, start=one + 1):
            in_a_row = other == one + 1 and paths[other].parent == path.parent
            if correlation >= (ALIKE_IN_A_ROW if in_a_row else ALIKE):
                yield one, other


def _thumbnail(path: Path) -> Floats:
    """16 x 16 greys in a row, of mean 0 and standard deviation 1; all 0 for a plain picture."""
    picture = read_picture(path, (SIDE, SIDE)).convert("L")
    small = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    greys = np.asarray(small, np.float32).ravel()
    greys -= greys.mean()
    return np.asarray(greys / max(float(greys.std()), 1e-6), np.float32)


def _reading_order(path: Path) -> tuple[str, list[str | int]]:
    """A key that puts ``9.jpg`` before ``10.jpg``: digits stand at every odd place of the split."""
    parts = re.split(r"(\d+)", path.name)
    return str(path.parent), [int(part) if part.isdecimal() else part for part in parts]
