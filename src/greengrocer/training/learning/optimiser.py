"""How fast each weight learns: a rate for each stage of the network, and its course over time."""

import math
from typing import Any

from greengrocer.errors import UsageError
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.recipe import Optimisation


def weight_groups(network: Recogniser, how: Optimisation) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, each with its ``peak`` learning rate.

    The last stage of the backbone has ``how.lr``, each stage below ``how.layer_decay`` times the
    rate of the one above (after Howard and Ruder, ACL 2018). Frozen stages are not among them.
    Raises UsageError where all stages would be frozen.
    """
    stages = network.backbone.stages()
    if how.frozen_stages >= len(stages):
        raise UsageError(
            f"optimisation.frozen_stages is {how.frozen_stages}, and the backbone has "
            f"{len(stages)} stages: freeze fewer than that"
        )
    learning = stages[how.frozen_stages :]
    groups = [
        {
            "params": [weight for module in stage for weight in module.parameters()],
            "peak": how.lr * how.layer_decay**depth,
        }
        for depth, stage in enumerate(reversed(learning))
    ]
    return [*groups, {"params": network.head.parameters(), "peak": how.head_lr}]


def rate_share(step: float, steps: int, how: Optimisation) -> float:
    """Share of the peak rate at ``step``: linear warm-up, then half a cosine.

    ``steps`` is the number of steps in an epoch.
    """
    total, warmup = steps * how.epochs, max(1, int(steps * how.warmup_epochs))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
