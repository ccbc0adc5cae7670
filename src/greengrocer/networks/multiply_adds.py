"""What a backbone costs: its multiply-adds."""

from typing import Any

import torch
from torch import nn

from greengrocer.networks.backbone import Backbone


@torch.no_grad()
def multiply_adds(backbone: Backbone, side: int) -> int:
    """Those of the convolutions and linear layers for one image of ``side`` by ``side`` pixels."""
    found = []

    def count(layer: nn.Module, _: Any, made: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        found.append(made.numel() * weight[0].numel())

    layers = [each for each in backbone.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    backbone.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return sum(found)
