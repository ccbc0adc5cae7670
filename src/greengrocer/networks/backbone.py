"""What a backbone is, and how it is found by name, also among entry points of other packages."""

from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Protocol

import torch
from torch import nn

from greengrocer.errors import UsageError
from greengrocer.plugins import find_entry_points
from greengrocer.suggestions import did_you_mean

GROUP = "greengrocer.backbones"
PREFIX_TIMM = "timm:"  # of the names of timm's networks, which need no entry point
TIMM = "greengrocer.networks.timm_backbone"  # loaded only for such a name


class Backbone(nn.Module):
    """A module that makes feature maps of images. Subclass it to add a backbone.

    ``forward`` takes float32 [N, 3, H, W], (pixel - ``mean``) * ``scale``, and returns float32
    [N, ``channels``, h, w]. PyTorch must be able to export it to ONNX.

    An entry point of the group ``greengrocer.backbones`` names the class, or a function. It is
    called with the entry point's name and returns a backbone with random weights.
    """

    channels: int  # of the feature map
    mean: int = 127  # the pixel that becomes 0, from 0 to 255
    scale: float = 1 / 128
    pretrained_origin: str = ""  # a sentence for the model card: whose weights, under what licence

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 [N, 3, H, W] to what ``forward`` takes, channels last in memory."""
        return normalise(pixels, self.mean, self.scale)

    def stages(self) -> list[list[nn.Module]]:
        """Its modules, from the image up, in the steps of ``layer_decay`` and ``frozen_stages``.

        Together they have all of its weights. By default there is one stage.
        """
        return [[self]]

    def load_pretrained(self) -> None:
        """Fill it with pretrained weights, in place; raises UsageError where there are none."""
        raise UsageError("this backbone has no pretrained weights: set pretrained = false")


class BackboneFactory(Protocol):
    """What an entry point names."""

    def __call__(self, name: str, /) -> Backbone:
        """The backbone called ``name``, with random weights."""


def normalise(pixels: torch.Tensor, mean: int = 127, scale: float = 1 / 128) -> torch.Tensor:
    """uint8 [N, 3, H, W] to float32, (pixel - mean) * scale, channels last in memory."""
    return ((pixels.float() - float(mean)) * scale).contiguous(memory_format=torch.channels_last)


def backbone_names() -> list[str]:
    """The names of the backbones that are installed."""
    return sorted(find_entry_points(GROUP).names)


def has_backbone(name: str) -> bool:
    """Whether there may be a backbone called ``name``: what timm has, only timm knows."""
    return name.startswith(PREFIX_TIMM) or name in backbone_names()


def make_backbone(name: str) -> Backbone:
    """The backbone called ``name``, with random weights.

    Raises UsageError where no installed package has one of that name, or it cannot be loaded.
    """
    if name.startswith(PREFIX_TIMM):
        backbone: Backbone = import_module(TIMM).TimmBackbone(name)
        return backbone
    found = next(iter(find_entry_points(GROUP).select(name=name)), None)
    if found is None:
        raise UsageError(
            f"there is no backbone {name!r}{did_you_mean(name, backbone_names())}; installed are: "
            f"{', '.join(backbone_names()) or 'none'}"
        )
    try:
        backbone = found.load()(name)
    except (Exception, SystemExit) as error:  # whatever another package raises
        raise _refused(found, f"cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(backbone, Backbone):
        raise _refused(found, "is not a subclass of greengrocer.networks.backbone.Backbone")
    return backbone


def _refused(found: EntryPoint, why: str) -> UsageError:
    package = found.dist.name if found.dist else "an unknown package"
    return UsageError(f"the backbone {found.name!r} ({found.value} of {package}) {why}")
