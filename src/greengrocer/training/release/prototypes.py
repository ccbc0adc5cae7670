"""Prototypes: a few directions in the feature space for each class."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch

from greengrocer.figures.clusters import cluster_directions, of_length_one
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.recogniser import Prototypes
from greengrocer.training.release.measure import pool_features


def find_prototypes(
    backbone: onnx.ModelProto, paths: Sequence[Path], labels: ClassIds, geometry: Geometry
) -> Prototypes:
    """The prototypes of the training images at ``paths``, of the classes ``labels`` [N].

    Their features are those of ``backbone``. Rounded to float16, as a bundle holds them. Raises
    DatasetUnusable for an image that cannot be read.
    """
    features = pool_features(backbone, paths, geometry)
    centre = features.mean(axis=0).astype(np.float16).astype(np.float32)
    directions = of_length_one(features - centre)
    found = [cluster_directions(directions[labels == label]) for label in np.unique(labels)]
    halves = np.concatenate(found).astype(np.float16)
    return Prototypes(torch.from_numpy(centre), torch.from_numpy(halves.astype(np.float32)))
