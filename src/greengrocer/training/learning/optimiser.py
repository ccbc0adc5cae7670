"""How fast each weight learns: a rate for each stage of the network, and its course over time."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from greengrocer.networks.efficientnet_lite import Block, EfficientNetLite
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.recipe import Optimisation


def weight_groups(network: Recogniser, how: Optimisation) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser, each with its ``peak`` learning rate.

    The last stage of the backbone has ``how.lr``, each stage below ``how.layer_decay`` times the
    rate of the one above (after Howard and Ruder, ACL 2018). Frozen stages are not among them.
    """
    learning = stages(network.backbone)[how.frozen_stages :]
    groups = [
        {
            "params": [weight for module in stage for weight in module.parameters()],
            "peak": how.lr * how.layer_decay**depth,
        }
        for depth, stage in enumerate(reversed(learning))
    ]
    return [*groups, {"params": network.head.parameters(), "peak": how.head_lr}]


def rate_share(step: int, steps: int, how: Optimisation) -> float:
    """Share of the peak rate at ``step``: linear warm-up, then half a cosine.

    ``steps`` is the number of steps in an epoch.
    """
    total, warmup = steps * how.epochs, max(1, int(steps * how.warmup_epochs))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def stages(backbone: EfficientNetLite) -> list[list[nn.Module]]:
    """The backbone's 9 stages, from the image up: stem, 7 runs of blocks, last layer."""
    found: list[list[nn.Module]] = [[backbone.stem]]
    blocks: Iterable[nn.Module] = backbone.blocks
    for block in blocks:
        assert isinstance(block, Block)
        if block.skip:
            found[-1].append(block)
        else:  # the first of a run changes the size or the channels, the others neither
            found.append([block])
    return [*found, [backbone.head]]
