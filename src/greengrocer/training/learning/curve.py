"""How well held-out images are answered after each epoch."""

from collections.abc import Sequence

import numpy as np
import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.networks.recogniser import Recogniser
from greengrocer.networks.views import see
from greengrocer.training.choose import CURVE_IMAGES
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.recipe import Export

BATCH = 32


class HeldOut:
    """Some held-out images, the same after every epoch, kept as the model sees them."""

    def __init__(self, images: Sequence[LabelledImage], export: Export, seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(images))[:CURVE_IMAGES]
        chosen = [images[int(index)] for index in sorted(order)]
        geometry = export.geometry()
        pixels = [read_fitted(image.path, geometry) for image in chosen]
        self._views = export.seen()
        self._planes = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
        self._labels = torch.tensor([image.label for image in chosen])

    @torch.no_grad()
    def right(self, network: Recogniser, device: str) -> int:
        """How many images ``network``, which is in eval mode, names rightly."""
        found = 0
        for start in range(0, len(self._labels), BATCH):
            planes = self._planes[start : start + BATCH].to(device)
            seen = see(network.backbone, planes, self._views, network.head)
            logits = network.classify(seen.features)
            labels = self._labels[start : start + BATCH].to(device)
            found += int((logits.argmax(dim=1) == labels).sum())
        return found

    def __len__(self) -> int:
        return len(self._labels)
