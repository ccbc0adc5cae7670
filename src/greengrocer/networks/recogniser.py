"""A backbone with a linear head over its pooled features, and its answers for an image."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn import functional as F

from greengrocer.figures.known_score import PROBABILITY_POWER
from greengrocer.imaging.views import Views
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.views import lay

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """``network``, its weights laid out for images whose channels come last in memory."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's gap
    return network


class Recogniser(nn.Module):
    """The network that is trained: normalised images in, one logit a class out."""

    def __init__(self, backbone: str, classes: int, dropout: float = 0.0) -> None:
        """Raises UsageError where no ``backbone`` of that name is installed."""
        super().__init__()
        self.backbone = make_backbone(backbone)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] float, normalised as the backbone asks, to logits [N, classes]."""
        return self.classify(self.backbone(x))

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """A feature map [N, channels, h, w] to logits [N, classes]."""
        logits: torch.Tensor = self.head(self.dropout(features.mean(dim=(2, 3))))
        return logits


class Prototypes(NamedTuple):
    """Prototypes of each class's features: an image far from all of them is out of distribution.

    ``directions`` float32 [M, channels], of length 1: a few directions in which each class lies, as
    seen from ``centre`` float32 [channels].
    """

    centre: torch.Tensor
    directions: torch.Tensor


class Outputs(NamedTuple):
    """The graph's outputs, in their order; ``coarse`` is absent without a hierarchy."""

    probabilities: torch.Tensor
    known_score: torch.Tensor
    evidence: torch.Tensor
    coarse: torch.Tensor | None = None


class AnswerHead(nn.Module):
    """The arithmetic after the backbone, all in float: features to calibrated answers.

    ``evidence`` is each position's share of the logit. Pooling is a mean and the head is linear,
    so the mean of the evidence over positions *is* the calibrated logit, bias included. Of several
    ``views``, each one's evidence is laid where it looks.

    ``known_score`` is the cosine to the nearest prototype times the fourth root of the largest
    probability before calibration: an image is known if it looks like one that trained and is
    plainly one of the classes (``docs/decisions/025-known-score.md``). Calibration does not enter,
    so a threshold may be set before the temperature is.
    """

    centre: torch.Tensor
    prototypes: torch.Tensor

    def __init__(
        self,
        head: nn.Linear,
        prototypes: Prototypes,
        temperature: float,
        coarse_of: Sequence[int] | None,
        views: Views | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.views = views
        self.weight = nn.Parameter(head.weight.detach().float().T / temperature)
        self.bias = nn.Parameter(head.bias.detach().float() / temperature)
        self.register_buffer("centre", prototypes.centre)
        self.register_buffer("prototypes", prototypes.directions.T.contiguous())
        membership = None
        if coarse_of is not None:
            membership = torch.zeros(len(coarse_of), max(coarse_of) + 1)
            membership[torch.arange(len(coarse_of)), torch.tensor(coarse_of)] = 1.0
        self.register_buffer("membership", membership)

    def forward(self, features: torch.Tensor, in_doubt: torch.Tensor | None = None) -> Outputs:
        """[N, channels, h, w] float32, or [N, channels, V * h, w], to the outputs.

        In a cascade ``in_doubt`` bool [N] says for which images the others than the first view
        were looked at.
        """
        unbiased = features.permute(0, 2, 3, 1) @ self.weight
        evidence = lay(unbiased, self.views, in_doubt) + self.bias
        logits = evidence.mean(dim=(1, 2))
        probabilities = logits.softmax(dim=1)
        direction = F.normalize(features.mean(dim=(2, 3)) - self.centre, dim=1)
        nearest = (direction @ self.prototypes).amax(dim=1).clamp(0, 1)
        decided = (logits * self.temperature).softmax(dim=1).amax(dim=1)
        coarse = None
        if isinstance(self.membership, torch.Tensor):
            coarse = probabilities @ self.membership
        return Outputs(probabilities, nearest * decided**PROBABILITY_POWER, evidence, coarse)
