import torch
from torch import nn

from greengrocer.networks.backbone import Backbone, make_backbone
from greengrocer.networks.multiply_adds import multiply_adds


class Tiny(Backbone):
    """A convolution, one of two groups, and a linear layer at each position."""

    channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.grouped = nn.Conv2d(8, 6, 1, groups=2)
        self.linear = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.linear(self.grouped(self.first(x)).permute(0, 2, 3, 1))
        return found.permute(0, 3, 1, 2)


def test_each_weight_counts_at_each_position() -> None:
    positions = 16 * 16
    each = 8 * 3 * 3 * 3 + 6 * 4 + 6 * 4
    assert multiply_adds(Tiny(), 32) == positions * each


def test_efficientnet_lite0_takes_what_is_known_of_it() -> None:
    found = multiply_adds(make_backbone("efficientnet-lite0"), 224)
    assert round(found / 1e6) == 384, "385 million with the head of ImageNet, of 1.3 million"
