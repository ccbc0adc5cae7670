"""One number that makes confidences honest: the temperature of the softmax."""

import math

import numpy as np
import numpy.typing as npt

from greengrocer.figures.score import ClassIds, Floats

TEMPERATURES = 1e-3, 1e4  # between which it is sought: logits may have any scale
GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Floats, labels: ClassIds) -> float:
    """The T for which softmax(logits / T) has the least mean negative log-likelihood.

    ``logits`` [N, classes] and ``labels`` [N] are of images that training did not see
    (temperature scaling: Guo et al., ICML 2017). A label counts as (N + 1) / (N + 2) of one, and
    the other classes share the rest: else a few images, all of them right, would make the model
    sure of everything (Platt, Probabilistic Outputs for Support Vector Machines, 1999).

    The loss is convex in 1 / T, so it has one valley, and golden-section search over log T finds
    its floor.
    """
    low, high = (math.log(end) for end in TEMPERATURES)
    while high - low > 1e-5:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if _loss(logits, labels, math.exp(left)) < _loss(logits, labels, math.exp(right)):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def mean_nll(logits: Floats, labels: ClassIds, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood, in nats, of the ``labels`` [N] under softmax(logits / T)."""
    return float(_nll(_scaled(logits, temperature), labels).mean())


def calibrated(logits: Floats, temperature: float) -> Floats:
    """softmax(logits / T), float32 [N, classes]."""
    exponents = np.exp(_scaled(logits, temperature))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def _loss(logits: Floats, labels: ClassIds, temperature: float) -> float:
    """Cross-entropy with the smoothed labels, in nats."""
    doubt, classes = 1 / (len(labels) + 2), logits.shape[1]
    scaled = _scaled(logits, temperature)
    named = _nll(scaled, labels)
    of_all = classes * np.log(np.exp(scaled).sum(axis=1)) - scaled.sum(axis=1)
    others = (of_all - named) / max(1, classes - 1)
    return float(((1 - doubt) * named + doubt * others).mean())


def _nll(scaled: npt.NDArray[np.float64], labels: ClassIds) -> npt.NDArray[np.float64]:
    normaliser = np.log(np.exp(scaled).sum(axis=1))
    return np.asarray(normaliser - scaled[np.arange(len(labels)), labels])


def _scaled(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Logits over T, shifted so that the largest of each image is 0 and no exponent overflows."""
    scaled = logits.astype(np.float64) / temperature
    return np.asarray(scaled - scaled.max(axis=1, keepdims=True))
