"""From held-out answers to honest numbers: a temperature, and thresholds for what is said."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from greengrocer.engines.engine import Floats
from greengrocer.figures.score import ClassIds, score
from greengrocer.training.recipe import Export

# Few held-out images, all of them right, must not make the model sure of everything.
COLDEST, HOTTEST = 0.2, 5.0
GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Floats, labels: ClassIds) -> float:
    """The T for which softmax(logits / T) has the least mean negative log-likelihood.

    ``logits`` [N, classes] and ``labels`` [N] are of images that training did not see
    (temperature scaling: Guo et al., ICML 2017). The loss is convex in 1 / T, so it has one
    valley, and golden-section search over log T finds its floor between 0.2 and 5.
    """
    low, high = math.log(COLDEST), math.log(HOTTEST)
    while high - low > 1e-5:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if mean_nll(logits, labels, math.exp(left)) < mean_nll(logits, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def mean_nll(logits: Floats, labels: ClassIds, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood, in nats, of the ``labels`` [N] under softmax(logits / T)."""
    scaled = _scaled(logits, temperature)
    normaliser = np.log(np.exp(scaled).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(labels)), labels]).mean())


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
    how: Export,
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


def calibrated(logits: Floats, temperature: float) -> Floats:
    """softmax(logits / T), float32 [N, classes]."""
    exponents = np.exp(_scaled(logits, temperature))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


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


def _scaled(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Logits over T, shifted so that the largest of each image is 0 and no exponent overflows."""
    scaled = logits.astype(np.float64) / temperature
    return np.asarray(scaled - scaled.max(axis=1, keepdims=True))
