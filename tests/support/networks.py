"""Networks that nobody trained, yet whose activations are of a trained one's size."""

import numpy as np
import torch
from torch import nn

from greengrocer.imaging.geometry import Geometry, Pixels, fit
from greengrocer.networks.recogniser import Recogniser, normalise
from support.pictures import photo

CLASSES = 6
COARSE_OF = (0, 0, 1, 1, 1, 2)


def square(side: int) -> Geometry:
    """A model's input of ``side`` by ``side`` pixels."""
    return Geometry(width=side, height=side)


def pictures(count: int, geometry: Geometry) -> Pixels:
    """Smooth random pictures: uint8 [count, H, W, 3]."""
    return np.stack([fit(photo(seed), geometry) for seed in range(count)])


@torch.no_grad()
def untrained(variant: str = "efficientnet-lite0", classes: int = CLASSES) -> Recogniser:
    """A random network with batch norms that have seen pictures, in eval mode."""
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
