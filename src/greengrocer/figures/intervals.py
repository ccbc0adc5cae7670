"""Confidence intervals, and how well a score separates two groups (AUROC): pure functions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greengrocer.figures.score import Floats

Z95 = 1.959963984540054  # the standard normal's 97.5 % point
RESAMPLES = 1000


class Interval(NamedTuple):
    """The ends of a 95 % confidence interval."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """The score interval of the proportion ``hits`` / ``n``; from 0 to 1 where n is 0.

    Wilson, Probable Inference, Journal of the American Statistical Association 22 (1927).
    """
    if n == 0:
        return Interval(0.0, 1.0)
    share, spread = hits / n, Z95 * Z95 / n
    centre = share + spread / 2
    reach = math.sqrt(spread * (share * (1 - share) + spread / 4))
    return Interval(
        max(0.0, (centre - reach) / (1 + spread)), min(1.0, (centre + reach) / (1 + spread))
    )


def bootstrap(statistic: Callable[[npt.NDArray[np.intp]], float], n: int) -> Interval:
    """The percentile interval of a ``statistic`` of image indices, over 1000 resamples of n.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3. The same input
    gives the same interval: the resamples are drawn from a fixed seed.
    """
    random = np.random.default_rng(0)
    values = [statistic(random.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def auroc(positive: Floats, negative: Floats) -> float:
    """How often a score of ``positive`` [P] is above one of ``negative`` [N]; ties count half.

    The Mann-Whitney U statistic by its sum of ranks, over P times N: Hanley and McNeil, The
    Meaning and Use of the Area under a ROC Curve, Radiology 143 (1982). Neither may be empty.
    """
    _, inverse, counts = np.unique(
        np.concatenate([positive, negative]), return_inverse=True, return_counts=True
    )
    ranks = np.cumsum(counts) - (counts - 1) / 2  # equal scores share their mean rank, from 1 on
    rank_sum = float(ranks[inverse[: len(positive)]].sum())
    smallest = len(positive) * (len(positive) + 1) / 2
    return (rank_sum - smallest) / (len(positive) * len(negative))
