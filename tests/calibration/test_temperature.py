import numpy as np
import pytest

from greengrocer.calibration.temperature import calibrated, fit_temperature, mean_nll
from greengrocer.figures.score import ClassIds, Floats


def drawn(temperature: float, count: int = 20_000) -> tuple[Floats, ClassIds]:
    """Logits, and labels drawn from softmax(logits / temperature)."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 3, (count, 10)).astype(np.float32)
    labels = (logits / temperature + random.gumbel(size=logits.shape)).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.03)


def test_the_temperature_found_is_optimal() -> None:
    logits, labels = drawn(1.7, 500)
    best = mean_nll(logits, labels, fit_temperature(logits, labels)) - 1e-4
    assert all(best <= mean_nll(logits, labels, t) for t in np.geomspace(0.2, 5, 300))


def test_logits_that_are_never_wrong_keep_a_finite_temperature() -> None:
    logits = np.eye(4, dtype=np.float32) * 50
    assert fit_temperature(logits, np.arange(4)) > 5


def test_the_loss_of_knowing_nothing_is_the_logarithm_of_the_classes() -> None:
    loss = mean_nll(np.zeros((5, 8), np.float32), np.arange(5))
    assert loss == pytest.approx(np.log(8))


def test_calibrated_probabilities_are_a_softmax_that_cannot_overflow() -> None:
    logits = np.array([[0, 2, 0], [1000, 0, 0]], np.float32)
    expected = np.array([[1, np.e, 1], [np.e + 2, 0, 0]]) / (np.e + 2)
    np.testing.assert_allclose(calibrated(logits, 2.0), expected, rtol=1e-6)


def test_a_few_images_that_are_all_right_do_not_make_it_sure_of_everything() -> None:
    logits = np.array([[9, 0], [0, 9], [8, 0], [0, 8]], np.float32)
    temperature = fit_temperature(logits, np.array([0, 1, 0, 1]))
    confidence = calibrated(logits, temperature).max(axis=1)
    assert (confidence < 0.97).all()
    assert (confidence > 0.6).all()


def test_the_scale_of_the_logits_does_not_matter() -> None:
    logits, labels = drawn(1.0, 300)
    one, other = fit_temperature(logits, labels), fit_temperature(50 * logits, labels)
    np.testing.assert_allclose(other / one, 50, rtol=1e-3)
