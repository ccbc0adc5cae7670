"""What int8 costs: the quantised graph against the float one on the same held-out images."""

import math
from typing import NamedTuple

import numpy as np

from greengrocer.figures.intervals import wilson
from greengrocer.figures.score import ClassIds

MAX_LOSS = 0.5  # points of top-1
MIN_AGREEMENT = 98.0  # percent of labels


class Comparison(NamedTuple):
    """Float and int8 on ``pictures`` images; the rest in percent, or points of percent.

    ``gain`` is int8's top-1 less float's, with a 95 % interval from ``gain_low`` to ``gain_high``.
    """

    pictures: int
    float_top1: float
    int8_top1: float
    agreement: float
    gain: float
    gain_low: float
    gain_high: float


def compare(in_float: ClassIds, in_int8: ClassIds, truth: ClassIds) -> Comparison:
    """Compare two predictions [N] of the same labels ``truth`` [N].

    The interval is that of Agresti and Min for the difference of paired proportions (Statistics
    in Medicine 24, 2005): half an image is added to each of the four cells.
    """
    float_right, int8_right = in_float == truth, in_int8 == truth
    count = len(truth)
    won = np.count_nonzero(int8_right & ~float_right) + 0.5
    lost = np.count_nonzero(float_right & ~int8_right) + 0.5
    total = count + 2
    middle = (won - lost) / total
    reach = 1.96 * math.sqrt((won + lost) / total - middle**2) / math.sqrt(total)
    return Comparison(
        pictures=count,
        float_top1=100 * float(float_right.mean()),
        int8_top1=100 * float(int8_right.mean()),
        agreement=100 * float((in_float == in_int8).mean()),
        gain=100 * float(int8_right.mean() - float_right.mean()),
        gain_low=100 * (middle - reach),
        gain_high=100 * (middle + reach),
    )


def costs_too_much(found: Comparison) -> bool:
    """Whether int8 surely loses more than half a point of top-1, or surely changes its labels.

    "Surely" is by a 95 % interval, which is as wide as these images are few: that of the loss must
    lie beyond half a point; or that of the agreement (Wilson's) below 98 %, where top-1 falls, too.
    """
    return found.gain_high < -MAX_LOSS or (found.gain < -MAX_LOSS and agree_too_little(found))


def agree_too_little(found: Comparison) -> bool:
    """Whether fewer than 98 % of the labels agree, by Wilson's 95 % interval."""
    same = round(found.pictures * found.agreement / 100)
    return 100 * wilson(same, found.pictures).high < MIN_AGREEMENT
