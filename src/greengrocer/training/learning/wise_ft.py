"""Weights between those of a linear probe and those after training (WiSE-FT)."""

from collections.abc import Mapping

import torch

Weights = Mapping[str, torch.Tensor]


def shipped_weights(average: Weights, probed: Weights, alpha: float) -> Weights:
    """``average``, the weights after training, drawn towards those of the probe.

    The share of ``average`` is ``alpha``. That loses little where the images are alike, and gains
    where they are from elsewhere (Wortsman et al., CVPR 2022).
    """
    if alpha == 1:
        return average
    return {
        name: probed[name].lerp(value, alpha) if value.is_floating_point() else value
        for name, value in average.items()
    }
