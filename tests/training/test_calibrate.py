import numpy as np
import pytest

from greengrocer.engines.engine import Floats
from greengrocer.training.release.calibrate import (
    COLDEST,
    HOTTEST,
    Labels,
    fit_temperature,
    known_scores,
    known_threshold,
    mean_nll,
)


def drawn(temperature: float, count: int = 20_000) -> tuple[Floats, Labels]:
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


def test_the_known_score_is_the_largest_calibrated_probability() -> None:
    logits = np.array([[0, 2, 0], [1000, 0, 0]], np.float32)
    expected = [np.e / (np.e + 2), 1]
    np.testing.assert_allclose(known_scores(logits, 2.0), expected, rtol=1e-6)


def test_at_most_the_quantile_of_known_pictures_is_called_unknown() -> None:
    scores = np.random.default_rng(0).random(1000).astype(np.float32)
    threshold = known_threshold(scores, 0.03)
    assert 0.025 < np.mean(scores < threshold) <= 0.03


def test_the_threshold_is_a_share() -> None:
    assert known_threshold(np.full(3, 1.0000001, np.float32), 0.5) == 1.0
