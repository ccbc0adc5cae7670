"""What apparent size costs: the figures at each size at which held-out images were answered."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from greengrocer.calibration.temperature import calibrated
from greengrocer.calibration.thresholds import Thresholds, figures
from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds

# Each figure, and which of its values over the sizes is the worst.
JUDGED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "top1": min,
    "coarse_top1": min,
    "macro_f1": min,
    "ece": max,
    "named_unknown": max,
    "answer_precision": min,
}

BySize = Mapping[float, Mapping[str, float]]


def figures_by_size(
    sizes: Sequence[float],
    logits: Floats,
    known_score: Floats,
    truth: ClassIds,
    coarse_of: Sequence[int] | None,
    temperature: float,
    limits: Thresholds,
) -> dict[float, dict[str, float]]:
    """In percent, those of JUDGED at each size, under one ``temperature`` and the ``limits``.

    ``logits`` [sizes, N, classes] and ``known_score`` [sizes, N] are of N images, ``truth`` [N].
    """
    found = {}
    for size, raw, scores in zip(sizes, logits, known_score, strict=True):
        probabilities = calibrated(raw, temperature)
        top1 = 100 * float(np.mean(probabilities.argmax(axis=1) == truth))
        told = {"top1": top1, **figures(probabilities, scores, truth, coarse_of, limits)}
        found[size] = {name: told[name] for name in JUDGED if name in told}
    return found


def size_metrics(by_size: BySize) -> dict[str, float]:
    """As ``top1_at_0.5`` for each size but 1; ``top1_over_sizes``, the mean; ``top1_worst_size``.

    A figure that some size lacks has neither.
    """
    metrics = {
        f"{name}_at_{size:g}": value
        for size, told in by_size.items()
        if size != 1
        for name, value in told.items()
    }
    for name, worst in JUDGED.items():
        values = [told[name] for told in by_size.values() if name in told]
        if len(values) == len(by_size):
            metrics[f"{name}_over_sizes"] = float(np.mean(values))
            metrics[f"{name}_worst_size"] = worst(values)
    return metrics


def say_sizes(by_size: BySize) -> None:
    """Print a line for each figure: its values, their mean and the worst."""
    sizes = " ".join(f"{size:>6g}" for size in by_size)
    tqdm.write(f"{'at an apparent size of':<24}{sizes}   mean  worst, in %")
    over = size_metrics(by_size)
    for name in JUDGED:
        if f"{name}_over_sizes" in over:
            values = " ".join(f"{told[name]:6.1f}" for told in by_size.values())
            mean, worst = over[f"{name}_over_sizes"], over[f"{name}_worst_size"]
            tqdm.write(f"{name:<24}{values} {mean:6.1f} {worst:6.1f}")
