"""Prototypes: a few directions in the feature space for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.recogniser import Prototypes
from greengrocer.training.release.measure import pool_features

PROTOTYPES = 6  # a class: the more, the better, but little beyond 6, and each takes 2.5 kB
ROUNDS = 20  # of k-means, which settles in about ten on some dozens of images


def find_prototypes(
    backbone: onnx.ModelProto, paths: Sequence[Path], labels: ClassIds, geometry: Geometry
) -> Prototypes:
    """The prototypes of the training images at ``paths``, of the classes ``labels`` [N].

    Their features are those of ``backbone``. Rounded to float16, as a bundle holds them. Raises
    DatasetUnusable for an image that cannot be read.
    """
    features = pool_features(backbone, paths, geometry)
    centre = features.mean(axis=0).astype(np.float16).astype(np.float32)
    directions = _of_length_one(features - centre)
    found = [cluster_directions(directions[labels == label]) for label in np.unique(labels)]
    halves = np.concatenate(found).astype(np.float16)
    return Prototypes(torch.from_numpy(centre), torch.from_numpy(halves.astype(np.float32)))


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
            [_of_length_one(m) if m.any() else c for m, c in zip(means, centres, strict=True)]
        )
    return np.asarray(centres)


def _of_length_one(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))
