"""How well held-out images are answered after each epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.figures.intervals import wilson
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.data.reading import read_fitted

MOST_IMAGES = 200
BATCH = 32


class Point(NamedTuple):
    """After an epoch: its mean loss, and how many of the held-out images are right."""

    epoch: int
    loss: float
    right: int
    of: int

    def told(self) -> str:
        """Such as "19 of 22 held-out images right (86 %, 95 % interval 67 to 95)"."""
        low, high = wilson(self.right, self.of)
        share = 100 * self.right / self.of
        return (
            f"{self.right} of {self.of} held-out images right ({share:.0f} %, 95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f})"
        )


class HeldOut:
    """Some held-out images, the same after every epoch, kept as the model sees them."""

    def __init__(self, images: Sequence[LabelledImage], size: int, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(images))[:MOST_IMAGES]
        chosen = [images[int(index)] for index in sorted(order)]
        geometry = Geometry(width=size, height=size)
        pixels = [read_fitted(image.path, geometry) for image in chosen]
        self._planes = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        self._labels = torch.tensor([image.label for image in chosen])

    @torch.no_grad()
    def right(self, network: Recogniser, device: str) -> int:
        """How many images ``network``, which is in eval mode, names rightly."""
        found = 0
        for start in range(0, len(self._labels), BATCH):
            planes = self._planes[start : start + BATCH].to(device)
            logits = network(network.backbone.normalise(planes))
            labels = self._labels[start : start + BATCH].to(device)
            found += int((logits.argmax(dim=1) == labels).sum())
        return found

    def __len__(self) -> int:
        return len(self._labels)
