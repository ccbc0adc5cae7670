"""The figures of a classification, as pure functions of probabilities and labels."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
ClassIds = npt.NDArray[np.int64]  # the class id of each image
Flags = npt.NDArray[np.bool_]

ECE_BINS = 15


@dataclass(frozen=True)
class Scores:
    """Fractions from 0 to 1; ``coarse_top1`` is None without a hierarchy."""

    fine_top1: float
    coarse_top1: float | None
    fine_top5: float
    macro_f1: float
    ece: float
    n: int


def score(probabilities: Floats, labels: ClassIds, coarse_right: Flags | None) -> Scores:
    """Score probabilities [N, classes] against class ids [N], and whether coarse answers [N] are.

    ``coarse_right`` is None without a hierarchy.
    """
    predicted = probabilities.argmax(axis=1)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    return Scores(
        fine_top1=float((predicted == labels).mean()),
        coarse_top1=None if coarse_right is None else float(coarse_right.mean()),
        fine_top5=float((best == labels[:, None]).any(axis=1).mean()),
        macro_f1=macro_f1(predicted, labels),
        ece=expected_calibration_error(probabilities.max(axis=1), predicted == labels),
        n=len(labels),
    )


def macro_f1(predicted: ClassIds, labels: ClassIds) -> float:
    """The mean over the classes that occur in ``labels`` of 2 TP / (2 TP + FP + FN)."""
    scores = []
    for label in np.unique(labels):
        hits = np.sum((predicted == label) & (labels == label))
        misses = np.sum((predicted == label) != (labels == label))
        scores.append(2 * hits / (2 * hits + misses))
    return float(np.mean(scores))


def expected_calibration_error(confidence: Floats, correct: Flags) -> float:
    """The mean gap between confidence and accuracy over 15 equal bins, weighted by their size.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = [
        abs(confidence[bins == b].mean() - correct[bins == b].mean()) * np.sum(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps) / len(confidence))
