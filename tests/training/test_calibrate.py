import numpy as np
import pytest

from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds
from greengrocer.training.recipe import Export
from greengrocer.training.release.calibrate import (
    COLDEST,
    HOTTEST,
    calibrated,
    fit_temperature,
    fit_thresholds,
    known_threshold,
    least_confidence,
    mean_nll,
)


def drawn(temperature: float, count: int = 20_000) -> tuple[Floats, ClassIds]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 3, (count, 10)).astype(np.float32)
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_found_is_the_best_there_is() -> None:
    logits, labels = drawn(1.7, 500)
    best = mean_nll(logits, labels, fit_temperature(logits, labels))
    assert all(best <= mean_nll(logits, labels, t) for t in np.geomspace(COLDEST, HOTTEST, 300))


def test_logits_that_are_never_wrong_keep_a_finite_temperature() -> None:
    logits = np.eye(4, dtype=np.float32) * 50
    assert fit_temperature(logits, np.arange(4)) >= COLDEST


def test_the_loss_of_knowing_nothing_is_the_logarithm_of_the_classes() -> None:
    loss = mean_nll(np.zeros((5, 8), np.float32), np.arange(5))
    assert loss == pytest.approx(np.log(8))


def test_calibrated_probabilities_are_a_softmax_that_cannot_overflow() -> None:
    logits = np.array([[0, 2, 0], [1000, 0, 0]], np.float32)
    expected = np.array([[1, np.e, 1], [np.e + 2, 0, 0]]) / (np.e + 2)
    np.testing.assert_allclose(calibrated(logits, 2.0), expected, rtol=1e-6)


def test_the_least_confidence_that_is_precise_enough() -> None:
    confidence = np.array([0.9, 0.5, 0.8, 0.7, 0.6], np.float32)
    right = np.array([True, False, True, False, True])  # in order: right right wrong right wrong
    assert least_confidence(confidence, right, 0.75) == pytest.approx(0.6)
    assert least_confidence(confidence, right, 0.8) == pytest.approx(0.8)
    assert least_confidence(confidence, ~right, 0.9) == 1.0
    assert least_confidence(confidence[:0], right[:0], 0.9) == 1.0


def test_each_level_is_as_precise_as_asked_and_nothing_is_withheld_needlessly() -> None:
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


def test_the_threshold_is_a_share() -> None:
    assert known_threshold(np.full(3, 1.0000001, np.float32), 0.5) == 1.0
