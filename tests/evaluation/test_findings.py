import numpy as np
import pytest

from greengrocer.evaluation.report.findings import (
    class_figures,
    confusions,
    coverage,
    reliability,
    worst,
)
from greengrocer.figures.score import expected_calibration_error

LABELS = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 1, 1, 1, 0, 0])


def test_confusions_are_ordered_by_count() -> None:
    assert confusions(PREDICTED, LABELS) == [(0, 1, 2), (1, 0, 1), (2, 0, 1)]
    assert confusions(LABELS, LABELS) == []


def test_scores_by_class_of_a_hand_computed_example() -> None:
    found = class_figures(PREDICTED, LABELS)
    assert [figures.label for figures in found] == [2, 0, 1]
    assert [figures.n for figures in found] == [1, 3, 2]
    assert [figures.recall for figures in found] == [0, pytest.approx(1 / 3), 0.5]
    assert [f.precision for f in found] == [None, pytest.approx(1 / 3), pytest.approx(1 / 3)]


def test_the_bins_make_up_the_calibration_error() -> None:
    random = np.random.default_rng(3)
    confidence = random.random(500, dtype=np.float32)
    correct = random.random(500) < 0.7
    bins = reliability(confidence, correct)
    assert (len(bins), bins[0].low, bins[-1].high) == (15, 0, 1)
    assert sum(b.n for b in bins) == 500
    error = sum(abs(b.confidence - b.accuracy) * b.n for b in bins) / 500
    assert error == pytest.approx(expected_calibration_error(confidence, correct), abs=1e-6)


def test_coverage_counts_equal_confidences_together() -> None:
    confidence = np.array([0.5, 0.9, 0.5, 0.7], np.float32)
    curve = coverage(confidence, np.array([True, True, False, False]))
    assert [point[1:] for point in curve] == [(1, 1), (2, 1), (4, 2)]
    assert [point.threshold for point in curve] == pytest.approx([0.9, 0.7, 0.5])


def test_the_worst_mistakes_are_the_most_confident() -> None:
    confidence = np.array([0.9, 0.2, 0.8, 0.99], np.float32)
    correct = np.array([False, False, False, True])
    assert worst(confidence, correct, 2) == [0, 2]
    assert worst(confidence, np.ones(4, bool), 2) == []
