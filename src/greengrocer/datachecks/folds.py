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
    all. A group that spans classes stays whole, too: two copies of one photo with two labels do
    not judge each other. Where one of its classes is this group alone, it always trains.
    """
    parts: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, (image, group) in enumerate(zip(images, groups, strict=True)):
        parts[image.label][group].append(index)
    chosen = {
        group: ALWAYS_TRAINS for members in parts.values() if len(members) == 1 for group in members
    }
    found = np.full(len(images), ALWAYS_TRAINS)
    total = np.zeros(folds, int)
    for label in sorted(parts):
        members = sorted(parts[label].items(), key=lambda part: -len(part[1]))
        count = np.zeros(folds, int)
        # Those that another class has placed first, for they leave no choice.
        for group, part in sorted(members, key=lambda part: part[0] not in chosen):
            fold = chosen.setdefault(group, int(np.lexsort((total, count))[0]))
            if fold != ALWAYS_TRAINS:
                count[fold] += len(part)
                total[fold] += len(part)
            found[part] = fold
    return found
