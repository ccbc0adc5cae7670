import numpy as np
import pytest

from greengrocer.figures.score import expected_calibration_error, macro_f1, score


def ids(*labels: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(labels, np.int64)


def test_macro_f1_of_a_hand_computed_example() -> None:
    # Class 0: TP 2, FP 1, FN 1 -> 4/6. Class 1: TP 1, FP 1, FN 0 -> 2/3. Class 2: TP 0 -> 0.
    predicted, labels = ids(0, 0, 1, 1, 0), ids(0, 0, 0, 1, 2)
    assert macro_f1(predicted, labels) == pytest.approx((4 / 6 + 2 / 3 + 0) / 3)


def test_macro_f1_counts_only_the_classes_that_occur() -> None:
    # Class 7 was only predicted: it costs class 1 a miss, and has no score of its own.
    assert macro_f1(ids(1, 7), ids(1, 1)) == pytest.approx(2 / 3)


def test_calibration_error_of_a_hand_computed_example() -> None:
    # Bin 14 holds 0.95 and 0.97, one right: |0.96 - 0.5| * 2. Bin 7 holds 0.5, right: 0.5.
    confidence = np.array([0.95, 0.97, 0.5], np.float32)
    correct = np.array([True, False, True])
    expected = (0.46 * 2 + 0.5 * 1) / 3
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected, abs=1e-6)


def test_a_confidence_of_one_has_a_bin() -> None:
    right = np.array([True])
    assert expected_calibration_error(np.ones(1, np.float32), right) == 0
    assert expected_calibration_error(np.zeros(1, np.float32), right) == 1
    shared = expected_calibration_error(np.array([1, 0.95], np.float32), np.array([False, True]))
    assert shared == pytest.approx(0.975 - 0.5)


def test_top_one_and_top_five_of_a_hand_computed_example() -> None:
    probabilities = np.array(
        [
            [0.5, 0.2, 0.1, 0.08, 0.07, 0.05],
            [0.5, 0.2, 0.1, 0.08, 0.07, 0.05],
            [0.5, 0.2, 0.1, 0.08, 0.07, 0.05],
        ],
        np.float32,
    )
    scores = score(probabilities, ids(0, 4, 5), None)
    assert scores.fine_top1 == pytest.approx(1 / 3)
    assert scores.fine_top5 == pytest.approx(2 / 3)
    assert scores.coarse_top1 is None
    assert scores.n == 3


def test_coarse_is_scored_by_what_was_answered() -> None:
    right = np.array([True, False, True, True])
    scores = score(np.eye(4, dtype=np.float32), ids(1, 0, 2, 3), right)
    assert (scores.fine_top1, scores.coarse_top1) == (0.5, 0.75)


def test_perfect_answers_score_perfectly() -> None:
    scores = score(np.eye(6, dtype=np.float32), ids(*range(6)), None)
    assert (scores.fine_top1, scores.fine_top5, scores.macro_f1, scores.ece) == (1, 1, 1, 0)
