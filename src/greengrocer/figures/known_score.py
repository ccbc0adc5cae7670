"""The formula of the out-of-distribution score, for all that compute it."""

import numpy as np

from greengrocer.figures.score import Floats

PROBABILITY_POWER = 0.25  # docs/decisions/025-known-score.md has what was measured


def known_score(nearest: Floats, probability: Floats) -> Floats:
    """The score [N], from 0 to 1; higher is more known.

    ``nearest`` [N], from 0 to 1, is the cosine of an image's features to the nearest prototype, and
    ``probability`` [N] the largest of its probabilities before calibration.
    """
    return np.asarray(nearest * probability**PROBABILITY_POWER, np.float32)
