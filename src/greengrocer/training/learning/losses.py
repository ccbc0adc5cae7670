"""What training minimises."""

import torch
from torch import nn
from torch.nn import functional as F

from greengrocer.datasets.dataset import Taxonomy
from greengrocer.training.recipe import Optimisation


class Losses(nn.Module):
    """Cross-entropy of the fine class, and of the coarse one on summed fine probabilities."""

    coarse_of: torch.Tensor
    membership: torch.Tensor

    def __init__(self, how: Optimisation, taxonomy: Taxonomy) -> None:
        super().__init__()
        self.smoothing = how.label_smoothing
        self.coarse_weight = how.coarse_loss_weight if taxonomy.coarse_of else 0.0
        coarse_of = torch.tensor(taxonomy.coarse_of or [0] * len(taxonomy.classes))
        self.register_buffer("coarse_of", coarse_of)
        self.register_buffer("membership", F.one_hot(coarse_of).float())

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] and fine labels int64 [N] to the mean loss."""
        loss = F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        if self.coarse_weight:
            coarse = (logits.softmax(dim=1) @ self.membership).clamp_min(1e-8).log()
            loss = loss + self.coarse_weight * F.nll_loss(coarse, self.coarse_of[labels])
        return loss
