"""Class probabilities of every image from the images of other groups: out of fold, in closed form.

A linear discriminant with a shrunk shared covariance (Friedman, JASA 1989): its sums add up over
images, so those of a fold are taken away from the whole instead of computing each fold again.
"""

import numpy as np
from numpy.typing import NDArray

from greengrocer.datachecks.folds import ALWAYS_TRAINS
from greengrocer.engines.engine import Floats

SHRINKAGES = (0.1, 0.3, 0.7)  # the one whose answers agree most often with the labels is taken
TEMPERATURES = np.geomspace(0.02, 20, 60)
STRIDE = 6  # of the coarse search among them
ROWS = 4096  # images at a time
DIRECTIONS = 256  # of the features that are kept: those in which images differ most


def main_directions(unit: Floats) -> Floats:
    """``unit`` [N, D] in the 256 directions of its largest variance; as it is where D is less.

    Found by subspace iteration (Halko, Martinsson and Tropp, SIAM Review 2011).
    """
    if unit.shape[1] <= DIRECTIONS:
        return unit
    random = np.random.default_rng(0)
    basis = random.standard_normal((unit.shape[1], DIRECTIONS)).astype(np.float32)
    for _ in range(3):
        basis = np.linalg.qr(unit.T @ (unit @ basis))[0]
    return np.asarray(unit @ basis, np.float32)


def out_of_fold(
    unit: Floats, labels: NDArray[np.int64], classes: int, folds: NDArray[np.int64]
) -> Floats:
    """The probabilities [N, classes] of each image by the images of other folds.

    ``unit`` is float32 [N, D] of length 1, ``labels`` [N] are 0 to ``classes`` - 1. Rows of images
    that always train are NaN.
    """
    best, best_hits = np.full((len(unit), classes), np.nan), -1
    judged = folds != ALWAYS_TRAINS
    sums = _Sums(unit, labels, classes)
    numbers = np.unique(folds[judged])
    parts = [_Sums(unit[folds == fold], labels[folds == fold], classes) for fold in numbers]
    for shrinkage in SHRINKAGES:
        scores = np.full((len(unit), classes), np.nan)
        for fold, part in zip(numbers, parts, strict=True):
            scores[folds == fold] = sums.without(part).scores(unit[folds == fold], shrinkage)
        hits = int((scores[judged].argmax(axis=1) == labels[judged]).sum())
        if hits > best_hits:
            best, best_hits = scores, hits
    return _calibrated(best, labels, judged)


class _Sums:
    """What a discriminant needs to know of some images: float64."""

    def __init__(self, unit: Floats, labels: NDArray[np.int64], classes: int) -> None:
        dimensions = unit.shape[1]
        self.counts = np.bincount(labels, minlength=classes).astype(np.float64)
        self.sums = np.zeros((classes, dimensions))
        np.add.at(self.sums, labels, unit)
        self.products = np.zeros((dimensions, dimensions))
        for start in range(0, len(unit), ROWS):
            rows = unit[start : start + ROWS]
            self.products += rows.T @ rows

    def without(self, part: "_Sums") -> "_Sums":
        """Of the images that are not among those of ``part``."""
        rest = object.__new__(_Sums)
        rest.counts = self.counts - part.counts
        rest.sums = self.sums - part.sums
        rest.products = self.products - part.products
        return rest

    def scores(self, unit: Floats, shrinkage: float) -> NDArray[np.float64]:
        """Log likelihoods [n, C] but for a constant; -inf for a class without images."""
        seen = self.counts > 0
        means = self.sums[seen] / self.counts[seen, None]
        within = self.products - means.T @ self.sums[seen]
        within /= max(self.counts.sum() - seen.sum(), 1)
        spread = np.trace(within) / len(within)
        shared = (1 - shrinkage) * within + (shrinkage * spread + 1e-9) * np.eye(len(within))
        weights = np.linalg.solve(shared, means.T)
        found = np.full((len(unit), len(seen)), -np.inf)
        found[:, seen] = unit @ weights - 0.5 * (means.T * weights).sum(axis=0)
        return found


def _calibrated(
    scores: NDArray[np.float64], labels: NDArray[np.int64], judged: NDArray[np.bool_]
) -> Floats:
    """Probabilities by the temperature under which the labels are likeliest (Guo et al., 2017)."""
    rows, truth = scores[judged], labels[judged]
    found = np.full(scores.shape, np.nan, np.float32)
    if not len(rows):
        return found

    def loss(temperature: float) -> float:
        logs = _log_softmax(rows / temperature)
        return -float(np.maximum(logs[np.arange(len(rows)), truth], -50).mean())

    # The loss has one valley: a coarse search, then a fine one around its best.
    near = STRIDE * int(np.argmin([loss(each) for each in TEMPERATURES[::STRIDE]]))
    fine = TEMPERATURES[max(near - STRIDE + 1, 0) : near + STRIDE]
    temperature = float(fine[np.argmin([loss(each) for each in fine])])
    found[judged] = np.exp(_log_softmax(rows / temperature))
    return found


def _log_softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    rows = rows - rows.max(axis=1, keepdims=True)
    return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))
