"""Shops: folds of whole scenes that look as if they were taken in one place.

What tells a place, and not what stands there: light, floor, shelf and lens show in the style of an
image, which is the mean and the spread of the channels of a network's first stages (Gatys et al.,
Texture Synthesis Using Convolutional Neural Networks, 2015; Huang and Belongie, Arbitrary Style
Transfer, ICCV 2017). What a class has in common is taken off first, so that objects do not count.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.training.data.scenes import NEVER_HELD_OUT

Doubles = npt.NDArray[np.float64]

PLACES = 8  # clusters of style, which are put together to folds
DIRECTIONS = 20  # of style, the main ones
STARTS, ROUNDS = 8, 60  # of k-means


def shop_folds(
    images: Sequence[LabelledImage],
    scenes: Sequence[int],
    styles: Floats,
    folds: int,
    seed: int,
) -> list[int]:
    """The fold of each image, 0 to ``folds`` - 1: scenes of one style are held out together.

    ``scenes`` number the images' scenes, ``styles`` [N, D] are the images' styles. Each class is on
    both sides of each fold: where all of its scenes fell into one, its smallest goes to another. A
    class of one scene is NEVER_HELD_OUT.
    """
    labels = np.array([image.label for image in images])
    groups = np.array(scenes)
    means = _mean_by(groups, main_directions(styles, labels))
    places = _cluster(means[groups], max(PLACES, folds), seed)
    where = _together(places, means[groups], folds)
    for label in np.unique(labels):
        members = labels == label
        if len(np.unique(groups[members])) == 1:
            where[members] = NEVER_HELD_OUT
        elif len(np.unique(where[members])) == 1:
            _spread(where, groups, members, folds)
    return [int(fold) for fold in where]


def main_directions(styles: Floats, labels: ClassIds, count: int = DIRECTIONS) -> Doubles:
    """``styles`` [N, D] without what their class has in common, along their main directions."""
    rows = styles.astype(np.float64)
    rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-6)
    for label in np.unique(labels):
        rows[labels == label] -= rows[labels == label].mean(axis=0)
    left, sizes, _ = np.linalg.svd(rows, full_matrices=False)
    return np.asarray(left[:, :count] * sizes[:count])


def _mean_by(groups: ClassIds, rows: Doubles) -> Doubles:
    sums = np.zeros((groups.max() + 1, rows.shape[1]))
    np.add.at(sums, groups, rows)
    return np.asarray(sums / np.maximum(np.bincount(groups), 1)[:, None])


def _cluster(rows: Doubles, count: int, seed: int) -> ClassIds:
    """The nearest of ``count`` centres of k-means [N]; the best of several starts."""
    random = np.random.default_rng(seed)
    best, found = np.inf, np.zeros(len(rows), np.int64)
    distinct = np.unique(rows, axis=0)
    for _ in range(STARTS):
        centres = distinct[random.choice(len(distinct), min(count, len(distinct)), replace=False)]
        for _ in range(ROUNDS):
            nearest = _distances(rows, centres).argmin(axis=1)
            means = [rows[nearest == k].mean(axis=0) for k in np.unique(nearest)]
            if len(means) == len(centres) and np.allclose(means, centres):
                break
            centres = np.stack(means)
        distances = _distances(rows, centres)
        if distances.min(axis=1).sum() < best:
            best, found = distances.min(axis=1).sum(), distances.argmin(axis=1)
    return found


def _distances(rows: Doubles, centres: Doubles) -> Doubles:
    squares = (rows**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)
    return np.asarray(squares - 2 * rows @ centres.T)


def _together(places: ClassIds, rows: Doubles, folds: int) -> ClassIds:
    """Places put together to folds of about one size, so that alike places share one."""
    numbers = np.unique(places)
    sizes = np.array([(places == number).sum() for number in numbers])
    centres = np.stack([rows[places == number].mean(axis=0) for number in numbers])
    apart = _distances(centres, centres) * np.minimum.outer(sizes, sizes)
    ways = np.array(list(_partitions(len(numbers), folds)))
    held = np.stack([(ways == fold) @ sizes for fold in range(folds)], axis=1)
    # Size first, as far as it must be: a fold's models need images.
    largest = np.maximum(held.max(axis=1) / sizes.sum(), 1.25 / folds)
    ways = ways[largest == largest.min()]
    within = [(apart * (way[:, None] == way)).sum() for way in ways]
    return np.asarray(ways[np.argmin(within)][np.searchsorted(numbers, places)])


def _partitions(count: int, folds: int) -> Iterator[tuple[int, ...]]:
    """Each way to put ``count`` places into at most ``folds`` folds, once: the fold of each place.

    Folds are numbered in the order of their first place, as swapping two changes nothing.
    """
    if count == 0:
        yield ()
        return
    for head in _partitions(count - 1, folds):
        for fold in range(min(max(head, default=-1) + 2, folds)):
            yield (*head, fold)


def _spread(where: ClassIds, groups: ClassIds, members: npt.NDArray[np.bool_], folds: int) -> None:
    numbers, counts = np.unique(groups[members], return_counts=True)
    smallest = numbers[counts.argmin()]
    sizes = np.bincount(where[where >= 0], minlength=folds).astype(float)
    sizes[where[members][0]] = np.inf
    where[members & (groups == smallest)] = sizes.argmin()
