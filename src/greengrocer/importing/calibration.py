"""What photos tell about an imported model: temperature, prototypes, thresholds, figures."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from greengrocer.calibration.temperature import calibrated, fit_temperature, mean_nll
from greengrocer.calibration.thresholds import Thresholds, figures, fit_thresholds
from greengrocer.engines.engine import Floats
from greengrocer.figures import known_score as formula
from greengrocer.figures.clusters import cluster_directions, of_length_one
from greengrocer.figures.score import ClassIds
from greengrocer.importing.answers import Raw
from greengrocer.importing.head import Prototypes
from greengrocer.training.recipe import Export


class Calibration(NamedTuple):
    """``thresholds`` are None, and the temperature is 1, where no photos were at hand."""

    temperature: float = 1.0
    prototypes: Prototypes | None = None
    thresholds: Thresholds | None = None
    metrics: dict[str, float] = {}  # noqa: RUF012 - never changed


def calibrate(
    fitting: Raw,
    of_fitting: ClassIds,
    judging: Raw,
    truth: ClassIds,
    coarse_of: Sequence[int] | None,
) -> Calibration:
    """Prototypes from the ``fitting`` photos, temperature and thresholds from the ``judging``."""
    prototypes = None
    if fitting.features is not None:
        prototypes = find_prototypes(fitting.features, of_fitting)
    temperature = fit_temperature(judging.logits, truth)
    probabilities = calibrated(judging.logits, temperature)
    score = known_score(judging, prototypes)
    thresholds = fit_thresholds(probabilities, score, truth, coarse_of, Export())
    measured = {
        "pictures": float(len(truth)),
        "top1": 100 * float((judging.logits.argmax(axis=1) == truth).mean()),
        **figures(probabilities, score, truth, coarse_of, thresholds),
        "nll_before_calibration": mean_nll(judging.logits, truth),
        "nll": mean_nll(judging.logits, truth, temperature),
    }
    named = {f"held_out_{name}": value for name, value in measured.items()}
    return Calibration(temperature, prototypes, thresholds, named)


def find_prototypes(features: Floats, labels: ClassIds) -> Prototypes:
    """The directions in which the photos' ``features`` [N, D] of each class lie."""
    centre = features.mean(axis=0)
    directions = of_length_one(features - centre)
    found = [cluster_directions(directions[labels == label]) for label in np.unique(labels)]
    return Prototypes(np.asarray(centre, np.float32), np.concatenate(found).astype(np.float32))


def known_score(raw: Raw, prototypes: Prototypes | None) -> Floats:
    """The known score [N] as the graph computes it; 1 where it has none."""
    if raw.features is None or prototypes is None:
        return np.ones(len(raw.logits), np.float32)
    directions = of_length_one(raw.features - prototypes.centre)
    nearest = (directions @ prototypes.directions.T).max(axis=1).clip(0, 1)
    return formula.known_score(nearest, raw.softmax().max(axis=1))
