"""A backbone with a linear head over its pooled features, and what it answers for a picture."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from greengrocer.networks.efficientnet_lite import FEATURES, EfficientNetLite

PIXEL_ZERO = 127.0
PIXEL_SCALE = 1 / 128

Network = TypeVar("Network", bound=nn.Module)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, H, W] to float32, (pixel - 127) / 128, channels last in memory."""
    return ((pixels.float() - PIXEL_ZERO) * PIXEL_SCALE).contiguous(
        memory_format=torch.channels_last
    )


def channels_last(network: Network) -> Network:
    """``network``, its weights laid out for pictures whose channels come last in memory."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's gap
    return network


class Recogniser(nn.Module):
    """What is trained: normalised pictures in, one logit a class out."""

    def __init__(self, variant: str, classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = EfficientNetLite(variant)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, H, W] float, (pixel - 127) / 128, to logits [N, classes]."""
        features = self.backbone(x).mean(dim=(2, 3))
        logits: torch.Tensor = self.head(self.dropout(features))
        return logits


class Outputs(NamedTuple):
    """The graph's outputs, in their order; ``coarse`` is absent without a hierarchy."""

    probabilities: torch.Tensor
    known_score: torch.Tensor
    evidence: torch.Tensor
    coarse: torch.Tensor | None = None


class AnswerHead(nn.Module):
    """The arithmetic after the backbone, all in float: features to calibrated answers.

    ``evidence`` is each position's share of the logit. Pooling is a mean and the head is linear,
    so the mean of the evidence over positions *is* the calibrated logit, bias included.
    """

    def __init__(
        self, head: nn.Linear, temperature: float, coarse_of: Sequence[int] | None
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(head.weight.detach().float().T / temperature)
        self.bias = nn.Parameter(head.bias.detach().float() / temperature)
        membership = None
        if coarse_of is not None:
            membership = torch.zeros(len(coarse_of), max(coarse_of) + 1)
            membership[torch.arange(len(coarse_of)), torch.tensor(coarse_of)] = 1.0
        self.register_buffer("membership", membership)

    def forward(self, features: torch.Tensor) -> Outputs:
        """[N, 1280, h, w] float32 to the outputs, ``known_score`` the largest probability."""
        evidence = features.permute(0, 2, 3, 1) @ self.weight + self.bias
        probabilities = evidence.mean(dim=(1, 2)).softmax(dim=1)
        known_score = probabilities.amax(dim=1)
        coarse = None
        if isinstance(self.membership, torch.Tensor):
            coarse = probabilities @ self.membership
        return Outputs(probabilities, known_score, evidence, coarse)
