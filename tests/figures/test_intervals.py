import numpy as np
import numpy.typing as npt
import pytest

from greengrocer.figures.intervals import auroc, bootstrap, wilson


def scores(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def test_wilson_of_a_hand_computed_example() -> None:
    # z = 1.96: (0.8 + 0.19207) / 1.38415 -+ 1.96 * sqrt(0.016 + 0.0096036) / 1.38415
    low, high = wilson(8, 10)
    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)


def test_wilson_keeps_within_0_and_1() -> None:
    # Without a miss the lower end is n / (n + z^2).
    low, high = wilson(10, 10)
    assert low == pytest.approx(10 / 13.8415, abs=1e-5)
    assert high == pytest.approx(1)
    assert high <= 1
    low, high = wilson(0, 10)
    assert low == pytest.approx(0, abs=1e-12)
    assert low >= 0
    assert high == pytest.approx(3.8415 / 13.8415, abs=1e-5)
    assert wilson(0, 0) == (0, 1)


def test_auroc_counts_the_pairs_in_order_and_ties_half() -> None:
    # Of 3 x 2 pairs: 0.9 wins 2, 0.5 wins 1 and ties 1, 0.2 wins none: 3.5 of 6.
    assert auroc(scores(0.9, 0.5, 0.2), scores(0.5, 0.3)) == pytest.approx(3.5 / 6)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [((0.6, 0.7), (0.1,), 1), ((0.1,), (0.6, 0.7), 0), ((0.5, 0.5), (0.5, 0.5), 0.5)],
)
def test_auroc_of_extreme_cases(
    positive: tuple[float, ...], negative: tuple[float, ...], expected: float
) -> None:
    assert auroc(scores(*positive), scores(*negative)) == expected


def test_the_bootstrap_interval_contains_the_mean_and_is_reproducible() -> None:
    values = np.arange(100) % 2
    interval = bootstrap(lambda drawn: float(values[drawn].mean()), 100)
    # The mean's standard error is 0.05.
    assert interval.low == pytest.approx(0.4, abs=0.03)
    assert interval.high == pytest.approx(0.6, abs=0.03)
    assert interval == bootstrap(lambda drawn: float(values[drawn].mean()), 100)
