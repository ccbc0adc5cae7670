"""Prototypes: a few directions in the feature space for each class."""

import numpy as np
import torch

from greengrocer.figures.clusters import cluster_directions, of_length_one
from greengrocer.figures.score import ClassIds, Floats
from greengrocer.networks.recogniser import Prototypes


def find_prototypes(features: Floats, labels: ClassIds) -> Prototypes:
    """The prototypes of images with the ``features`` [N, D], of the classes ``labels`` [N].

    Rounded to float16, as a bundle holds them. They are seen from the origin, where a network that
    was trained with a linear head has its features of nothing that it knows.
    """
    centre = np.zeros(features.shape[1], np.float32)
    directions = of_length_one(features)
    found = [cluster_directions(directions[labels == label]) for label in np.unique(labels)]
    halves = np.concatenate(found).astype(np.float16)
    return Prototypes(torch.from_numpy(centre), torch.from_numpy(halves.astype(np.float32)))
