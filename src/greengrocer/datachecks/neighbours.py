"""Which images resemble which, by their features: exact, in blocks, for 50,000 images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats

NEAREST = 4  # neighbours that are kept of each image
BLOCK = 512  # rows at a time: 100 MB with 50,000 images
LONG = 5_000  # images from which a bar is shown


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of N images. K is 4, or N - 1 where that is less."""

    unit: Floats  # [N, D]: the features less their mean, of length 1
    index: NDArray[np.int64]  # [N, K], most alike first
    cosine: Floats  # [N, K]
    stranger: NDArray[np.int64]  # [N]: the most alike image of another class, -1 without one
    stranger_cosine: Floats  # [N]; -1 without one


def find_neighbours(images: Sequence[LabelledImage], features: Floats) -> Neighbours:
    """The nearest of each image. ``features`` is float32 [N, D], not normalised."""
    unit = centred_unit(features)
    labels = np.array([image.label for image in images])
    count = len(images)
    keep = max(min(NEAREST, count - 1), 0)
    index = np.zeros((count, keep), np.int64)
    cosine = np.zeros((count, keep), np.float32)
    stranger = np.full(count, -1, np.int64)
    stranger_cosine = np.full(count, -1, np.float32)
    starts = tqdm(range(0, count, BLOCK), "comparing", unit="block", disable=count < LONG or None)
    for start in starts:
        rows = slice(start, min(start + BLOCK, count))
        alike = unit[rows] @ unit.T
        alike[np.arange(len(alike)), np.arange(rows.start, rows.stop)] = -2
        if keep:
            top = np.argpartition(-alike, keep - 1, axis=1)[:, :keep]
            values = np.take_along_axis(alike, top, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            index[rows] = np.take_along_axis(top, order, axis=1)
            cosine[rows] = np.take_along_axis(values, order, axis=1)
        alike[labels[rows][:, None] == labels[None]] = -2
        nearest = alike.argmax(axis=1)
        values = alike[np.arange(len(alike)), nearest]
        stranger[rows] = np.where(values > -2, nearest, -1)
        stranger_cosine[rows] = np.maximum(values, -1)
    return Neighbours(unit, index, cosine, stranger, stranger_cosine)


def centred_unit(features: Floats) -> Floats:
    """``features`` less what all images share, each of length 1 (or 0 where nothing is left)."""
    centred = features - features.mean(axis=0, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(length, 1e-6), np.float32)
