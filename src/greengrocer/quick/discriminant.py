"""Linear discriminant analysis with a shrunk covariance: a head in closed form.

Every class is a normal distribution around its mean, with one covariance for all (Fisher 1936).
With fewer images than features, the covariance is shrunk towards a multiple of the identity
(Friedman, Regularized Discriminant Analysis, 1989). docs/decisions/021 has what was measured.
"""

from typing import NamedTuple

import numpy as np

from greengrocer.features.statistics import Doubles, Moments

SHRINKAGE = 0.3


class Discriminant(NamedTuple):
    """``weight`` float64 [D, K] and ``bias`` [K]: logits, up to their scale.

    ``whitened`` [K, D] are the class means, seen from the mean of all images and divided by the
    covariance; see calibration.prototypes.
    """

    weight: Doubles
    bias: Doubles
    whitened: Doubles


def discriminant(moments: Moments) -> Discriminant:
    """The head of classes that are all equally likely; none may be empty."""
    means = moments.sums / moments.counts[:, None]
    centre = means.mean(axis=0)
    around = means - centre
    middle = moments.sums.sum(axis=0) / moments.counts.sum()
    # One decomposition serves both: it takes most of the time.
    both = np.concatenate([around, means - middle]).T
    solved = np.linalg.solve(covariance(moments), both)
    weight, whitened = solved[:, : len(means)], solved[:, len(means) :].T
    bias = -0.5 * (weight * around.T).sum(axis=0) - centre @ weight
    return Discriminant(weight, bias, whitened)


def covariance(moments: Moments) -> Doubles:
    """The shrunk covariance within the classes, float64 [D, D].

    With few images a class, little is seen within them: the covariance between the class means
    then counts as well, with the weight of one image a class.
    """
    counts, total = moments.counts, moments.counts.sum()
    means = moments.sums / counts[:, None]
    centred = means - moments.sums.sum(axis=0) / total
    within = moments.second - (means * counts[:, None]).T @ means
    between = (centred * counts[:, None]).T @ centred
    found = (within + between * len(counts) / total) / total
    level = np.trace(found) / len(found)
    shrunk: Doubles = (1 - SHRINKAGE) * found
    shrunk[np.diag_indices(len(shrunk))] += SHRINKAGE * max(level, 1e-12)
    return shrunk
