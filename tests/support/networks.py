"""Untrained networks whose activations have the size of a trained one's."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.networks.backbone import normalise
from greengrocer.networks.recogniser import Prototypes, Recogniser
from greengrocer.training.data.reading import read_fitted
from support.make_images import photo

CLASSES = 6
COARSE_OF = (0, 0, 1, 1, 1, 2)
FEATURES = 1280  # of the networks below


def square(side: int) -> Geometry:
    """A model's input of ``side`` by ``side`` pixels."""
    return Geometry(width=side, height=side)


def pictures(count: int, geometry: Geometry) -> Pixels:
    """Smooth random images: uint8 [count, H, W, 3]."""
    return np.stack([fit(photo(seed), geometry) for seed in range(count)])


@torch.no_grad()
def untrained(variant: str = "efficientnet-lite0", classes: int = CLASSES) -> Recogniser:
    """A random network with batch norms that have seen images, in eval mode."""
    torch.manual_seed(5)
    network = Recogniser(variant, classes).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain average
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0.5)
    planes = torch.from_numpy(pictures(12, square(64))).permute(0, 3, 1, 2)
    network(normalise(planes))
    network.head.weight.normal_(0, 0.03)
    network.head.bias.normal_()
    return network.eval()


def prototypes(count: int = 5, channels: int = FEATURES) -> Prototypes:
    """Random prototypes, rounded as a bundle rounds them."""
    random = torch.Generator().manual_seed(9)
    prototypes = F.normalize(torch.randn(count, channels, generator=random), dim=1)
    centre = torch.rand(channels, generator=random)
    return Prototypes(centre.half().float(), prototypes.half().float())


@torch.no_grad()
def fit_two(network: Recogniser, pictures: Sequence[LabelledImage], side: int) -> Recogniser:
    """``network``, its head taught two classes by a ridge regression: not minutes of training.

    ``pictures`` are seen as squares of ``side`` pixels.
    """
    pixels = np.stack([read_fitted(picture.path, square(side)) for picture in pictures])
    planes = normalise(torch.tensor(pixels).permute(0, 3, 1, 2))
    features = network.backbone(planes).mean(dim=(2, 3))
    which = torch.tensor([2.0 * picture.label - 1 for picture in pictures])
    middle = features.mean(dim=0)
    similar = (features - middle) @ (features - middle).T
    ridge = 0.01 * similar.trace() / len(which) * torch.eye(len(which))
    towards_second = (features - middle).T @ torch.linalg.solve(similar + ridge, which)
    network.head.weight.copy_(4 * torch.stack([-towards_second, towards_second]))
    network.head.bias.copy_(-network.head.weight @ middle)
    return network
