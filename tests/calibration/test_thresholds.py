import numpy as np
import pytest

from greengrocer.calibration.temperature import calibrated
from greengrocer.calibration.thresholds import fit_thresholds, known_threshold, least_confidence
from greengrocer.training.recipe import Export


def test_the_threshold_is_the_lowest_confidence_that_is_precise_enough() -> None:
    confidence = np.array([0.9, 0.5, 0.8, 0.7, 0.6], np.float32)
    right = np.array([True, False, True, False, True])  # in order: right right wrong right wrong
    assert least_confidence(confidence, right, 0.75) == pytest.approx(0.6)
    assert least_confidence(confidence, right, 0.8) == pytest.approx(0.8)
    assert least_confidence(confidence, ~right, 0.9) == 1.0
    assert least_confidence(confidence[:0], right[:0], 0.9) == 1.0


def test_each_level_reaches_the_precision_with_the_most_answers() -> None:
    random = np.random.default_rng(5)
    logits = random.normal(0, 2, (5000, 6)).astype(np.float32)
    truth = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    probabilities, coarse_of = calibrated(logits, 1.0), (0, 0, 1, 1, 2, 2)
    score = random.random(5000).astype(np.float32)
    how = Export(known_quantile=0.1, answer_precision=0.9)
    found = fit_thresholds(probabilities, score, truth, coarse_of, how)
    believed, confidence = score >= found.known, probabilities.max(axis=1)
    fine = believed & (confidence >= found.fine)
    assert (probabilities.argmax(axis=1) == truth)[fine].mean() == pytest.approx(0.9, abs=0.003)
    coarse = probabilities.reshape(-1, 3, 2).sum(axis=2)
    named = believed & ~fine & (coarse.max(axis=1) >= found.coarse)
    assert named.sum() > 100
    assert (coarse.argmax(axis=1) == truth // 2)[named].mean() == pytest.approx(0.9, abs=0.01)
    assert fit_thresholds(probabilities, score, truth, None, how) == (found.known, found.fine, 0)


def test_at_most_the_quantile_of_known_images_is_called_unknown() -> None:
    scores = np.random.default_rng(0).random(1000).astype(np.float32)
    threshold = known_threshold(scores, 0.03)
    assert 0.025 < np.mean(scores < threshold) <= 0.03


def test_the_threshold_is_between_0_and_1() -> None:
    assert known_threshold(np.full(3, 1.0000001, np.float32), 0.5) == 1.0
