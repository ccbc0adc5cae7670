"""Folds that keep groups together, so that no image is judged by a copy of itself."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from greengrocer.datasets.dataset import LabelledImage

ALWAYS_TRAINS = -1  # the fold of a class of one group: without it the class is unknown


def group_folds(
    images: Sequence[LabelledImage], groups: Sequence[int], folds: int
) -> NDArray[np.int64]:
    """The fold of each image, 0 to ``folds`` - 1; ``groups`` is the group of each.

    The largest part of a class first, each to the fold that has least of the class, then least of
    all. A group that spans classes is divided by class here: two copies of one photo with two
    labels must see each other.
    """
    parts: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (image, group) in enumerate(zip(images, groups, strict=True)):
        parts[image.label][group].append(index)
    found = np.full(len(images), ALWAYS_TRAINS)
    total = np.zeros(folds, int)
    for label in sorted(parts):
        members = sorted(parts[label].values(), key=len, reverse=True)
        if len(members) == 1:
            continue
        count = np.zeros(folds, int)
        for part in members:
            fold = int(np.lexsort((total, count))[0])
            count[fold] += len(part)
            total[fold] += len(part)
            found[part] = fold
    return found
