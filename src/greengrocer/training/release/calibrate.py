"""From held-out answers to honest numbers: a temperature and a threshold for the known."""

import math

import numpy as np
import numpy.typing as npt

from greengrocer.engines.engine import Floats

Labels = npt.NDArray[np.int64]

# Few held-out pictures, all of them right, must not make the model sure of everything.
COLDEST, HOTTEST = 0.2, 5.0
GOLDEN = (math.sqrt(5) - 1) / 2


def fit_temperature(logits: Floats, labels: Labels) -> float:
    """The T for which softmax(logits / T) has the least mean negative log-likelihood.

    ``logits`` [N, classes] and ``labels`` [N] are of pictures that training did not see
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


def mean_nll(logits: Floats, labels: Labels, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood, in nats, of the ``labels`` [N] under softmax(logits / T)."""
    scaled = _scaled(logits, temperature)
    normaliser = np.log(np.exp(scaled).sum(axis=1))
    return float((normaliser - scaled[np.arange(len(labels)), labels]).mean())


def known_scores(logits: Floats, temperature: float) -> Floats:
    """The largest of the calibrated probabilities [N] of ``logits`` [N, classes]."""
    scaled = _scaled(logits, temperature)
    return np.asarray(1 / np.exp(scaled).sum(axis=1), np.float32)


def known_threshold(scores: Floats, quantile: float) -> float:
    """The score below which at most the share ``quantile`` of known pictures' ``scores`` lies."""
    return min(1.0, float(np.quantile(scores, quantile, method="lower")))


def _scaled(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Logits over T, shifted so that the largest of each picture is 0 and no exponent overflows."""
    scaled = logits.astype(np.float64) / temperature
    return np.asarray(scaled - scaled.max(axis=1, keepdims=True))
