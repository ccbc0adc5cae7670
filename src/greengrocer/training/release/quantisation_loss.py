"""What int8 costs: the quantised graph against the float one on the same held-out images."""

import math
from typing import NamedTuple

import numpy as np

from greengrocer.errors import UsageError
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


def check_held_out(found: Comparison) -> None:
    """Raise UsageError where int8 loses too much top-1 and too few labels agree.

    One image may always differ: of fewer than 50 it is more than 2 %, and says nothing.
    """
    differing = round(found.pictures * (1 - found.agreement / 100))
    if found.gain < -MAX_LOSS and found.agreement < MIN_AGREEMENT and differing > 1:
        raise UsageError(
            f"int8 has {found.int8_top1:.1f} % top-1 on {found.pictures} held-out images, float "
            f"{found.float_top1:.1f} %, and {found.agreement:.1f} % of the labels agree: a loss of "
            f"at most {MAX_LOSS:g} points or an agreement of {MIN_AGREEMENT:g} % is asked for; "
            "try more calibration_images"
        )


def check_out_of_fold(found: Comparison) -> None:
    """Raise UsageError where int8 loses over half a point of top-1 on many pooled images.

    The net loss of one image is allowed: of fewer than 200 it is more, and says nothing.
    """
    lost = round(-found.gain * found.pictures / 100)
    if 100 * lost > MAX_LOSS * found.pictures and lost > 1:
        raise UsageError(
            f"int8 has {found.int8_top1:.1f} % top-1 on {found.pictures} out-of-fold images, "
            f"float {found.float_top1:.1f} %: a change of {found.gain:.2f} points (95 % interval "
            f"{found.gain_low:.2f} to {found.gain_high:.2f}) where a loss of at most "
            f"{MAX_LOSS:g} is asked for; try more calibration_images"
        )


def check_agreement(found: Comparison) -> None:
    """Raise UsageError where int8 and float name too many images differently; one always may."""
    differing = round(found.pictures * (1 - found.agreement / 100))
    if found.agreement < MIN_AGREEMENT and differing > 1:
        raise UsageError(
            f"int8 and float agree on {found.agreement:.1f} % of the labels of {found.pictures} "
            f"training images: at least {MIN_AGREEMENT:g} % is asked for; try more "
            "calibration_images"
        )
