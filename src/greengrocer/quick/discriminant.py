"""Linear discriminant analysis with a shrunk covariance: a head in closed form.

Every class is a normal distribution around its mean, with one covariance for all (Fisher 1936).
With fewer images than features, the covariance is shrunk towards a multiple of the identity
(Friedman, Regularized Discriminant Analysis, 1989). docs/decisions/021 has what was measured.
"""

from typing import NamedTuple

import numpy as np

from greengrocer.quick.statistics import Doubles, Moments

SHRINKAGE = 0.3


class Discriminant(NamedTuple):
    """``weight`` float64 [D, K] and ``bias`` [K]: logits, up to their scale."""

    weight: Doubles
    bias: Doubles


def discriminant(moments: Moments) -> Discriminant:
    """The head of classes that are all equally likely; none may be empty."""
    means = moments.sums / moments.counts[:, None]
    centre = means.mean(axis=0)
    around = means - centre
    solved = np.linalg.solve(covariance(moments), around.T)
    bias = -0.5 * (solved * around.T).sum(axis=0) - centre @ solved
    return Discriminant(solved, bias)


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
