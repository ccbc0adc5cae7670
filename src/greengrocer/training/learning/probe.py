"""A linear probe: the head fitted to the frozen backbone's features before all is trained.

A random head would pull good features apart in its first steps, and what training did not see
suffers most (Kumar et al., ICLR 2022).
"""

import math
from collections.abc import Sequence

import torch

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.progress import Progress
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.data.batches import training_batches
from greengrocer.training.learning.losses import Losses
from greengrocer.training.learning.precision import Precision, autocast
from greengrocer.training.recipe import Recipe

PASSES = 20  # over the features, at least
STEPS = 400  # at least: of few images, 20 passes would leave the head far from fitted
BATCH = 256


def probe_head(
    network: Recogniser,
    losses: Losses,
    pictures: Sequence[LabelledImage],
    recipe: Recipe,
    threads: int,
    precision: Precision,
) -> float:
    """Fit the head of ``network`` in place to ``linear_probe_epochs`` of features.

    Returns the mean loss of the last pass. The chance in it comes from ``recipe.seed`` alone.
    """
    features, labels = _features(network, pictures, recipe, threads, precision)
    random = torch.Generator().manual_seed(recipe.seed)
    how, head = recipe.optimisation, network.head
    optimiser = torch.optim.AdamW(head.parameters(), how.head_lr, weight_decay=how.weight_decay)
    batches = math.ceil(len(labels) / BATCH)
    passes = max(PASSES, math.ceil(STEPS / batches))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, passes * batches)
    for _ in range(passes):
        total = 0.0
        order = torch.randperm(len(labels), generator=random).to(labels.device)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            loss = losses(head(features[chosen]), labels[chosen])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.item()) * len(chosen)
    return total / len(labels)


@torch.no_grad()
def _features(
    network: Recogniser,
    pictures: Sequence[LabelledImage],
    recipe: Recipe,
    threads: int,
    precision: Precision,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled features [M, channels] of augmented images, and their labels [M]."""
    network.eval()
    device = network.head.weight.device
    features, labels = [], []
    how = recipe.optimisation
    # Epochs that training does not reach, for variants that it will not see again.
    for epoch in range(how.epochs, how.epochs + how.linear_probe_epochs):
        batches = training_batches(pictures, recipe, epoch, threads)
        name = f"probe {epoch - how.epochs + 1}/{how.linear_probe_epochs}"
        for pixels, truth in Progress(batches, name, unit="batch"):
            with autocast(device.type, precision):
                found = network.backbone(network.backbone.normalise(pixels.to(device)))
            features.append(found.float().mean(dim=(2, 3)))
            labels.append(truth.to(device))
    return torch.cat(features), torch.cat(labels)
