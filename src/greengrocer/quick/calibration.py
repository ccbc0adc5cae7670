"""Out of fold: how good the head is, how sure it may be, and what it should call unknown."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greengrocer.calibration.temperature import calibrated, fit_temperature, mean_nll
from greengrocer.calibration.thresholds import Thresholds, figures, fit_thresholds
from greengrocer.datachecks.disjoint_sets import DisjointSets
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.features.statistics import Doubles, Moments, Statistics
from greengrocer.figures.clusters import of_length_one
from greengrocer.figures.intervals import wilson
from greengrocer.figures.known_score import known_score
from greengrocer.figures.score import ClassIds, Floats
from greengrocer.quick.discriminant import Discriminant, discriminant
from greengrocer.quick.shots import place_folds, with_bursts
from greengrocer.training.data.scenes import NEVER_HELD_OUT, group_scenes, scene_folds
from greengrocer.training.recipe import Export

FOLDS = 5
ALL_KNOWN = Thresholds(0.0, 0.0, 0.0)
NEAR_DUPLICATE = 0.97  # cosine of the features of two images; a scene's is at least 0.88


class Calibration(NamedTuple):
    """The temperature, the thresholds, and in percent how good the answers were out of fold.

    ``judged`` images were answered by heads that had not seen their scene. ``interval`` is that
    of the top-1, 95 %, in percent. Where nothing could be held out, ``judged`` is 0, ``metrics``
    is empty, ``interval`` is None, and nothing is called unknown.
    """

    temperature: float
    thresholds: Thresholds
    judged: int
    metrics: dict[str, float]
    interval: tuple[float, float] | None


def calibrate(
    statistics: Statistics, coarse_of: Sequence[int] | None, seed: int, how: Export
) -> Calibration:
    """Answer the kept images out of fold, and calibrate by the answers."""
    folds = folds_of(statistics, seed)
    judged = folds != NEVER_HELD_OUT
    if not judged.any():
        return Calibration(1.0, ALL_KNOWN, 0, {}, None)
    logits = np.zeros((len(folds), len(statistics.classes)))
    cosines = np.zeros(len(folds))
    for fold in np.unique(folds[judged]):
        held_out = folds == fold
        moments = statistics.moments(~held_out)
        rows = statistics.features[held_out].astype(np.float64)
        head = discriminant(moments)
        logits[held_out] = rows @ head.weight + head.bias
        cosines[held_out] = nearest(rows, *prototypes(moments, head))
    raw, truth = logits[judged].astype(np.float32), statistics.labels[judged]
    temperature = fit_temperature(raw, truth)
    probabilities = calibrated(raw, temperature)
    score = known_score(cosines[judged].astype(np.float32), probabilities.max(axis=1))
    thresholds = fit_thresholds(probabilities, score, truth, coarse_of, how)
    right = probabilities.argmax(axis=1) == truth
    low, high = wilson(int(right.sum()), len(truth))
    metrics = {
        "pictures": float(len(truth)),
        "top1": 100 * float(right.mean()),
        **figures(probabilities, score, truth, coarse_of, thresholds),
        "nll": mean_nll(raw, truth, temperature),
    }
    named = {f"out_of_fold_{name}": value for name, value in metrics.items()}
    return Calibration(temperature, thresholds, len(truth), named, (100 * low, 100 * high))


def folds_of(statistics: Statistics, seed: int) -> ClassIds:
    """The fold of each kept image; the images of a scene and of a burst stay together.

    Scenes are those of docs/decisions/005, bursts those of ``with_bursts``. Where that leaves a
    class one group, scenes alone divide it, then near-duplicates, then nothing is kept together:
    its figures flatter. Of three places or more, each is held out whole.
    """
    pictures = [LabelledImage(Path(), int(label)) for label in statistics.labels]
    rows = statistics.features.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    scenes = np.array(group_scenes(pictures, rows))
    groups = np.array(with_bursts(scenes.tolist(), statistics.shots, statistics.labels, rows))
    for label in np.unique(statistics.labels):
        members = np.flatnonzero(statistics.labels == label)
        finer = (
            lambda of: scenes[of],
            lambda of: np.array(_near_duplicates(rows[of])),
            lambda of: np.arange(len(of)),
        )
        for divide in finer:
            if len(set(groups[members])) > 1:
                break
            groups[members] = groups.max() + 1 + divide(members)
    folds = scene_folds(pictures, groups.tolist(), FOLDS, seed)
    return np.array(place_folds(statistics.shots, statistics.labels, folds, FOLDS))


def _near_duplicates(rows: Floats) -> list[int]:
    """A number for each of a class's features [N, D] of length 1, the same for near-duplicates."""
    sets = DisjointSets(len(rows))
    for one in range(len(rows)):
        for other in np.flatnonzero(rows[one + 1 :] @ rows[one] >= NEAR_DUPLICATE).tolist():
            sets.join(one, one + 1 + other)
    return list(sets.numbers())


def prototypes(moments: Moments, head: Discriminant) -> tuple[Doubles, Doubles]:
    """The centre [D] of all images, and a direction [K, D] for each class, of length 1.

    A direction is that of the class's mean from the centre, divided by the shrunk covariance: what
    varies much within the classes counts less. docs/decisions/021 has what was measured.
    """
    centre = moments.sums.sum(axis=0) / moments.counts.sum()
    return centre, of_length_one(head.whitened)


def nearest(rows: Doubles, centre: Doubles, directions: Doubles) -> Doubles:
    """The cosine [N], at least 0, of features [N, D] to the nearest prototype."""
    cosines: Doubles = (of_length_one(rows - centre) @ directions.T).max(axis=1).clip(0, 1)
    return cosines
