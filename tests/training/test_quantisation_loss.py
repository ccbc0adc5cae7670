import numpy as np
import pytest

from greengrocer.errors import UsageError
from greengrocer.training.release.quantisation_loss import (
    check_agreement,
    check_held_out,
    check_out_of_fold,
    compare,
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


@pytest.mark.parametrize("lost", [0, 5, 20])
def test_a_small_loss_or_high_agreement_passes(lost: int) -> None:
    check_held_out(compare(broken(0), broken(lost), TRUTH))


def test_different_labels_of_equal_accuracy_pass() -> None:
    check_held_out(compare(broken(100), np.roll(broken(100), 500), TRUTH))


def test_one_of_few_images_may_differ() -> None:
    check_held_out(compare(broken(0)[:10], broken(1)[:10], TRUTH[:10]))
    with pytest.raises(UsageError):
        check_held_out(compare(broken(0)[:10], broken(2)[:10], TRUTH[:10]))


def test_a_lossy_int8_is_refused_in_one_line_with_figures() -> None:
    with pytest.raises(UsageError, match=r"97\.9 % top-1 on 1000 .*100\.0 %.*97\.9 %") as refusal:
        check_held_out(compare(broken(0), broken(21), TRUTH))
    assert "\n" not in str(refusal.value)


def test_a_pooled_loss_is_refused_whatever_the_agreement() -> None:
    check_out_of_fold(compare(broken(0), broken(5), TRUTH))
    check_out_of_fold(compare(broken(6), broken(0), TRUTH))
    check_out_of_fold(compare(broken(0)[:10], broken(1)[:10], TRUTH[:10]))
    with pytest.raises(UsageError, match=r"-0\.60 points \(95 % interval -1\.12 to -0\.08\)"):
        check_out_of_fold(compare(broken(0), broken(6), TRUTH))


def test_a_refit_needs_agreement_whatever_its_accuracy() -> None:
    check_agreement(compare(broken(0), broken(20), TRUTH))
    check_agreement(compare(broken(0)[:10], broken(1)[:10], TRUTH[:10]))
    with pytest.raises(UsageError, match=r"97\.9 % of the labels of 1000 training images"):
        check_agreement(compare(broken(21), broken(0), TRUTH))
