"""How the training went: the curve that the bundle's provenance holds."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from greengrocer.bundles.manifest import Manifest
from greengrocer.evaluation.report.charts import loss_chart, training_chart
from greengrocer.evaluation.report.markup import number, section
from greengrocer.evaluation.run import Run


class Epoch(NamedTuple):
    """After an epoch: its mean loss, and how many of some held-out images are right."""

    epoch: int
    loss: float
    right: int
    of: int


def training(run: Run) -> str:
    """The curve of the training; empty for a bundle that holds none of at least two epochs."""
    curve = curve_of(run.manifest)
    if len(curve) < 2:
        return ""
    best = max(curve, key=lambda each: each.right / each.of)
    last = curve[-1]
    lead = (
        f"After each epoch, {last.of:,} held-out images were answered. Where the last epochs rise "
        "no more, a longer training gains nothing. Where the loss falls and the images are no "
        "longer better answered, more images would help."
    )
    told = (
        f"Share of the held-out images that are right: {number(last.right / last.of)} after the "
        f"last epoch, at best {number(best.right / best.of)} after epoch {best.epoch}. The band is "
        "Wilson's 95 % interval."
    )
    points = [(each.epoch, each.right, each.of) for each in curve]
    losses = [(each.epoch, each.loss) for each in curve]
    return section(
        "training",
        "How it learned",
        lead,
        '<div class="charts">',
        f"<figure>{training_chart(points)}<figcaption>{told}</figcaption></figure>",
        f"<figure>{loss_chart(losses)}<figcaption>The mean loss of the training images, which is "
        "what the training makes small.</figcaption></figure></div>",
    )


def curve_of(manifest: Manifest) -> Sequence[Epoch]:
    """The epochs in the provenance, which is any JSON: empty where one is not what it should be."""
    found = manifest.provenance.get("curve")
    epochs = [_epoch(each) for each in found] if isinstance(found, list) else []
    curve = [each for each in epochs if each is not None]
    rising = all(a.epoch < b.epoch for a, b in itertools.pairwise(curve))
    return curve if len(curve) == len(epochs) and rising else ()


def _epoch(found: Any) -> Epoch | None:
    if not isinstance(found, dict) or not found.keys() >= set(Epoch._fields):
        return None
    epoch = Epoch(*(found[name] for name in Epoch._fields))
    whole = all(type(each) is int for each in (epoch.epoch, epoch.right, epoch.of))
    if not whole or type(epoch.loss) not in (int, float) or not 0 <= epoch.loss < math.inf:
        return None
    return epoch if 0 <= epoch.right <= epoch.of and epoch.of > 0 else None
