"""What is believed: thresholds of the confidence and the known score, and what they give."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from greengrocer.figures.score import ClassIds, Floats, score


class Wanted(Protocol):
    """What thresholds are to give; both are shares from 0 to 1."""

    @property
    def known_quantile(self) -> float:
        """Of known images: called unknown."""

    @property
    def answer_precision(self) -> float:
        """Of named images: named correctly."""


class Thresholds(NamedTuple):
    """The least known score, and the least confidence at each level, that are believed."""

    known: float
    fine: float
    coarse: float


def fit_thresholds(
    probabilities: Floats,
    known_score: Floats,
    truth: ClassIds,
    coarse_of: Sequence[int] | None,
    how: Wanted,
) -> Thresholds:
    """Thresholds from calibrated ``probabilities`` [N, classes] and ``known_score`` [N].

    The share ``how.known_quantile`` of the images falls below the first. Of the others, those
    named at the fine level are right ``how.answer_precision`` of the time; and so are those of the
    rest that are named at the coarse level, whose confidence a temperature alone cannot correct.
    """
    known = known_threshold(known_score, how.known_quantile)
    believed = known_score >= known
    fine, coarse = _claims(probabilities, truth, coarse_of)
    sure = least_confidence(fine.confidence[believed], fine.right[believed], how.answer_precision)
    if coarse is None:
        return Thresholds(known, sure, 0.0)
    rest = believed & (fine.confidence < sure)
    least = least_confidence(coarse.confidence[rest], coarse.right[rest], how.answer_precision)
    return Thresholds(known, sure, least)


def figures(
    probabilities: Floats,
    known_score: Floats,
    truth: ClassIds,
    coarse_of: Sequence[int] | None,
    limits: Thresholds,
) -> dict[str, float]:
    """In percent: how good the answers are, and what is named under the ``limits``."""
    fine, coarse = _claims(probabilities, truth, coarse_of)
    believed = known_score >= limits.known
    named_fine = believed & (fine.confidence >= limits.fine)
    named_coarse, right = np.zeros(len(truth), bool), fine.right
    scores = score(probabilities, truth, coarse.right if coarse else None)
    found = {"macro_f1": scores.macro_f1, "ece": scores.ece}
    if coarse is not None and scores.coarse_top1 is not None:
        found["coarse_top1"] = scores.coarse_top1
        named_coarse = believed & ~named_fine & (coarse.confidence >= limits.coarse)
        right = np.where(named_coarse, coarse.right, right)
    named = {"fine": named_fine, "coarse": named_coarse, "unknown": ~(named_fine | named_coarse)}
    found |= {f"named_{level}": float(share.mean()) for level, share in named.items()}
    if (named_fine | named_coarse).any():
        found["answer_precision"] = float(right[named_fine | named_coarse].mean())
    return {name: 100 * value for name, value in found.items()}


def least_confidence(confidence: Floats, right: npt.NDArray[np.bool_], precision: float) -> float:
    """The least threshold [0, 1] at which ``precision`` of the answers [N] above it are right.

    1 where there is none.
    """
    order = np.argsort(-confidence, kind="stable")
    precise = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= precision
    if not precise.any():
        return 1.0
    return min(1.0, float(confidence[order][np.flatnonzero(precise)[-1]]))


def known_threshold(scores: Floats, quantile: float) -> float:
    """The score below which at most the share ``quantile`` of known images' ``scores`` lies."""
    return min(1.0, float(np.quantile(scores, quantile, method="lower")))


class _Claims(NamedTuple):
    """The best class of one level: how sure of it, and whether it is the true one, [N] each."""

    confidence: Floats
    right: npt.NDArray[np.bool_]


def _claims(
    probabilities: Floats, truth: ClassIds, coarse_of: Sequence[int] | None
) -> tuple[_Claims, _Claims | None]:
    """What is claimed at the fine level and, with a hierarchy, at the coarse one."""
    fine = _Claims(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)
    if coarse_of is None:
        return fine, None
    summed = probabilities @ np.eye(max(coarse_of) + 1, dtype=np.float32)[list(coarse_of)]
    right = summed.argmax(axis=1) == np.array(coarse_of)[truth]
    return fine, _Claims(summed.max(axis=1), right)
