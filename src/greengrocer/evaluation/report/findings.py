"""Findings beyond single figures: confusions, classes, calibration bins, accuracy by coverage."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ECE_BINS, ClassIds, Flags


class Confusion(NamedTuple):
    """Images of the class ``truth`` that were called ``predicted``: ``n`` of them."""

    truth: int
    predicted: int
    n: int


class ClassFigures(NamedTuple):
    """One class: ``n`` images. ``precision`` is None where it was never predicted."""

    label: int
    n: int
    recall: float
    precision: float | None


class Bin(NamedTuple):
    """Images whose confidence lies between ``low`` and ``high``; means are 0 where n is 0."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


class Coverage(NamedTuple):
    """The number of images answered at a confidence threshold, and of those answered rightly."""

    threshold: float
    answered: int
    right: int


def confusions(predicted: ClassIds, labels: ClassIds) -> list[Confusion]:
    """Every pair that was confused, the most frequent first, then by class id."""
    wrong = predicted != labels
    pairs = Counter(zip(labels[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    found = [Confusion(truth, other, n) for (truth, other), n in pairs.items()]
    return sorted(found, key=lambda pair: (-pair.n, pair.truth, pair.predicted))


def class_figures(predicted: ClassIds, labels: ClassIds) -> list[ClassFigures]:
    """Recall and precision of each class that occurs in ``labels``, the lowest recall first."""
    found = []
    for label in np.unique(labels).tolist():
        n, calls = int(np.sum(labels == label)), int(np.sum(predicted == label))
        hits = int(np.sum((labels == label) & (predicted == label)))
        found.append(ClassFigures(label, n, hits / n, hits / calls if calls else None))
    return sorted(found, key=lambda figures: (figures.recall, -figures.n, figures.label))


def reliability(confidence: Floats, correct: Flags) -> list[Bin]:
    """The 15 equal bins whose weighted gaps are ``score.expected_calibration_error``."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    found = []
    for b in range(ECE_BINS):
        inside = bins == b
        n = int(inside.sum())
        means = (float(confidence[inside].mean()), float(correct[inside].mean())) if n else (0, 0)
        found.append(Bin(b / ECE_BINS, (b + 1) / ECE_BINS, n, *means))
    return found


def coverage(confidence: Floats, correct: Flags) -> list[Coverage]:
    """A point for every confidence that occurs, taken as the threshold, from high to low.

    The risk-coverage curve of El-Yaniv and Wiener, On the Foundations of Noise-free Selective
    Classification, JMLR 11 (2010), drawn as accuracy.
    """
    order = np.argsort(-confidence, kind="stable")
    descending, right = confidence[order], np.cumsum(correct[order])
    last = np.append(descending[1:] != descending[:-1], True)  # equal ones are answered together
    return [Coverage(float(descending[i]), int(i) + 1, int(right[i])) for i in np.flatnonzero(last)]


def worst(confidence: Floats, correct: Flags, most: int) -> list[int]:
    """Indices of the wrong answers with the highest confidence, at most ``most`` of them."""
    order = np.argsort(-confidence, kind="stable")
    return [int(i) for i in order if not correct[i]][:most]
