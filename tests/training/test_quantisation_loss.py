import numpy as np
import pytest

from greengrocer.training.release.quantisation_loss import (
    agree_too_little,
    compare,
    costs_too_much,
)

TRUTH = np.arange(1000) % 10


def broken(count: int) -> np.ndarray:
    """Predictions that are right but for the first ``count``."""
    return np.where(np.arange(1000) < count, (TRUTH + 1) % 10, TRUTH)


def test_the_comparison_of_a_hand_computed_example() -> None:
    found = compare(broken(100), broken(130), TRUTH)
    assert found.pictures == 1000
    assert (found.float_top1, found.int8_top1) == pytest.approx((90, 87))
    assert found.agreement == pytest.approx(97)
    assert found.gain == pytest.approx(-3)
    assert found.gain_low < -3 < found.gain_high < 0


def test_the_interval_of_equal_answers_contains_zero() -> None:
    found = compare(broken(100), broken(100), TRUTH)
    assert found.gain_low < 0 < found.gain_high
    assert found.gain_low == pytest.approx(-found.gain_high)


def judged(lost: int, of: int = 1000) -> bool:
    return costs_too_much(compare(broken(0)[:of], broken(lost)[:of], TRUTH[:of]))


def test_a_loss_must_be_sure_by_an_interval_that_fits_the_number_of_images() -> None:
    assert not judged(5)
    assert not judged(10)  # a loss of 1 point, at least 0.4
    assert judged(15)
    assert not judged(5, of=200)  # 97.5 % alike, where 98 % can as well be the truth
    assert judged(10, of=200)
    assert not judged(1, of=10)
    assert judged(2, of=10)


def test_other_labels_of_the_same_accuracy_cost_nothing() -> None:
    assert not costs_too_much(compare(broken(100), np.roll(broken(100), 500), TRUTH))


def test_a_gain_costs_nothing() -> None:
    assert not costs_too_much(compare(broken(30), broken(0), TRUTH))


def test_labels_alike_by_their_interval() -> None:
    assert not agree_too_little(compare(broken(0), broken(20), TRUTH))
    assert not agree_too_little(compare(broken(0), broken(28), TRUTH))
    assert agree_too_little(compare(broken(0), broken(40), TRUTH))
    assert agree_too_little(compare(broken(40), broken(0), TRUTH))
    assert not agree_too_little(compare(broken(0)[:10], broken(1)[:10], TRUTH[:10]))
