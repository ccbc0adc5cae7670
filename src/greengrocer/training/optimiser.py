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

    The last stage of the backbone has ``how.rate``, each stage below ``how.layer_decay`` times the
    rate of the one above (after Howard and Ruder, ACL 2018); without decay they are one group.
    """
    head = {"params": network.head.parameters(), "peak": how.head_rate}
    if how.layer_decay == 1:
        return [{"params": network.backbone.parameters(), "peak": how.rate}, head]
    groups = [
        {
            "params": [weight for module in stage for weight in module.parameters()],
            "peak": how.rate * how.layer_decay**depth,
        }
        for depth, stage in enumerate(reversed(_stages(network.backbone)))
    ]
    return [*groups, head]


def rate_share(step: int, steps: int, how: Optimisation) -> float:
    """Share of the peak rate at ``step``: linear warm-up, then half a cosine.

    ``steps`` is the number of steps in an epoch.
    """
    total, warmup = steps * how.epochs, max(1, int(steps * how.warmup_epochs))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


def _stages(backbone: EfficientNetLite) -> list[list[nn.Module]]:
    """The backbone's modules, from the picture up: the stem, 7 runs of blocks, the last layer."""
    stages: list[list[nn.Module]] = [[backbone.stem]]
    blocks: Iterable[nn.Module] = backbone.blocks
    for block in blocks:
        assert isinstance(block, Block)
        if block.skip:
            stages[-1].append(block)
        else:  # the first of a run changes the size or the channels, the others neither
            stages.append([block])
    return [*stages, [backbone.head]]
