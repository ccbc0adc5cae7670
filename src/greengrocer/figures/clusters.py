"""A few directions near which all of a class's features lie."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from greengrocer.figures.score import Floats

Real = TypeVar("Real", np.float32, np.float64)

PROTOTYPES = 6  # a class: the more, the better, but little beyond 6, and each takes 2.5 kB
ROUNDS = 20  # of k-means, which settles in about ten on some dozens of images


def cluster_directions(directions: Floats, count: int = PROTOTYPES) -> Floats:
    """At most ``count`` directions [K, D] near which all of ``directions`` [N, D] lie.

    Spherical k-means (Dhillon and Modha, Machine Learning 42, 2001), begun with the direction
    nearest to the mean and then, each time, the one farthest from all before: without chance.
    """
    chosen = [int((directions @ directions.mean(axis=0)).argmax())]
    while len(chosen) < min(count, len(directions)):
        nearest = (directions @ directions[chosen].T).max(axis=1)
        chosen.append(int(nearest.argmin()))
    centres = directions[chosen]
    for _ in range(ROUNDS):
        nearest = (directions @ centres.T).argmax(axis=1)
        means = [directions[nearest == k].sum(axis=0) for k in range(len(centres))]
        # A centre that lost all its members stays where it was.
        centres = np.stack(
            [of_length_one(m) if m.any() else c for m, c in zip(means, centres, strict=True)]
        )
    return np.asarray(centres)


def of_length_one(vectors: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """``vectors`` [..., D], each divided by its length; of their dtype."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))
