"""Scenes: images of one class taken in one place, which no split may divide, or answers leak."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats

# Cosine of the embeddings of two images of one scene: where held-out scenes are about as hard for a
# fine-tuned network as images from other shops (docs/decisions/005-scenes.md).
ALIKE = 0.88
HOLD_OUT_FOLDS = 4
NEVER_HELD_OUT = -1  # the fold of a class of one scene: a model must see it to know it


def group_scenes(pictures: Sequence[LabelledImage], embeddings: Floats) -> list[int]:
    """The scene of each image, numbered from 0 in the order in which they come.

    ``embeddings`` [N, D] are of length 1. Two images of a class share a scene if their embeddings
    have a cosine of at least 0.88, and so do their other neighbours.
    """
    sets = DisjointSets(len(pictures))
    classes = defaultdict(list)
    for index, picture in enumerate(pictures):
        classes[picture.label].append(index)
    for members in classes.values():
        for place, one in enumerate(members):
            # Row by row, for a class may have many images.
            cosines = embeddings[members[place + 1 :]] @ embeddings[one]
            for after in np.flatnonzero(cosines >= ALIKE):
                sets.join(one, members[place + 1 + int(after)])
    return list(sets.numbers())


def scene_folds(
    pictures: Sequence[LabelledImage], groups: Sequence[int], folds: int, seed: int
) -> list[int]:
    """The fold of each image, 0 to ``folds`` - 1; ``groups`` are the images' scenes.

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
    pictures: Sequence[LabelledImage], embeddings: Floats, seed: int
) -> tuple[tuple[LabelledImage, ...], tuple[LabelledImage, ...]]:
    """The images for training, and one of 4 folds of scenes to hold out."""
    folds = scene_folds(pictures, group_scenes(pictures, embeddings), HOLD_OUT_FOLDS, seed)
    training = tuple(p for p, fold in zip(pictures, folds, strict=True) if fold != 0)
    return training, tuple(p for p, fold in zip(pictures, folds, strict=True) if fold == 0)
