"""Classes on top of a trained network: its own head stays, theirs come from statistics.

The new classes' columns are those of the discriminant of all classes, in the trained head's units:
both heads are seen from their mean over the trained classes, and the discriminant is scaled so that
it spreads the trained classes' features as the trained head does. The covariance is that of the
images that trained the network, so what is taught later changes no column but its own.
"""

import numpy as np

from greengrocer.bundles.manifest import Manifest
from greengrocer.calibration.thresholds import Thresholds
from greengrocer.datasets.dataset import Taxonomy
from greengrocer.features.statistics import Doubles, Moments, Statistics, moments_of
from greengrocer.graphs.answers import Head
from greengrocer.quick.calibration import Calibration
from greengrocer.quick.discriminant import covariance

# Calibrated logits that a taught class is given: few images of it say little of its width.
LIFT = 1.0


def extend(
    head: Head,
    statistics: Statistics,
    prototypes: int,
    manifest: Manifest,
    taxonomy: Taxonomy,
) -> tuple[Head, Calibration]:
    """The trained columns of ``head`` as they are, with one for each taught class.

    ``head`` has those of the version before: trained first, in the order of the classes. So have
    its directions, of which ``prototypes`` are the trained ones.
    """
    assert statistics.rest is not None
    trained = statistics.rest.counts > 0
    known = int(trained.sum())
    assert trained[:known].all()
    weight, bias = taught_columns(
        Head(head.weight[:, :known], head.bias[:known], *head[2:]), statistics
    )
    lift = LIFT * head.temperature
    directions = head.directions[:prototypes]
    taught = moments_of(statistics.features, statistics.labels, len(statistics.classes))
    means = taught.sums[known:] / taught.counts[known:, None] - head.centre
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    extended = Head(
        weight=np.concatenate([head.weight[:, :known], weight], axis=1).astype(np.float32),
        bias=np.concatenate([head.bias[:known], bias + lift]).astype(np.float32),
        centre=head.centre,
        directions=np.concatenate([directions, means]).astype(np.float32),
        temperature=head.temperature,
        coarse_of=taxonomy.coarse_of,
    )
    thresholds = Thresholds(
        manifest.known_threshold or 0.0, manifest.fine_threshold, manifest.coarse_threshold
    )
    return extended, Calibration(head.temperature, thresholds, 0, dict(manifest.metrics), None)


def taught_columns(trained: Head, statistics: Statistics) -> tuple[Doubles, Doubles]:
    """Weights [D, M] and biases [M] of the M taught classes, in the units of ``trained``."""
    rest = statistics.rest
    assert rest is not None
    known = len(trained.bias)
    base = Moments(rest.counts[:known], rest.sums[:known], rest.second)
    taught = moments_of(statistics.features, statistics.labels, len(statistics.classes))
    means = np.concatenate(
        [base.sums / base.counts[:, None], taught.sums[known:] / taught.counts[known:, None]]
    )
    spread = covariance(base)
    centre = means[:known].mean(axis=0)
    solved = np.linalg.solve(spread, (means - centre).T)
    shift = -0.5 * (solved * (means - centre).T).sum(axis=0)
    old = trained.weight.astype(np.float64)
    middle = old.mean(axis=1)
    around = old - middle[:, None]
    total = spread + np.cov(means[:known].T, bias=True)
    scale = np.sum(around * (total @ solved[:, :known])) / np.sum(
        solved[:, :known] * (total @ solved[:, :known])
    )
    weight = middle[:, None] + scale * solved[:, known:]
    # Both heads agree, on average over the trained classes, on how high a logit is at the centre.
    at_centre = float((centre @ old + trained.bias).mean())
    level = at_centre - scale * float(shift[:known].mean())
    bias = level + scale * shift[known:] - centre @ weight
    return weight, bias
