"""Out of fold: how good the head is, how sure it may be, and what it should call unknown."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from greengrocer.calibration.temperature import calibrated, fit_temperature, mean_nll
from greengrocer.calibration.thresholds import Thresholds, figures, fit_thresholds
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.figures.intervals import wilson
from greengrocer.figures.score import ClassIds
from greengrocer.quick.discriminant import covariance, discriminant
from greengrocer.quick.statistics import Doubles, Moments, Statistics
from greengrocer.training.data.scenes import NEVER_HELD_OUT, group_scenes, scene_folds
from greengrocer.training.recipe import Export

FOLDS = 5
ALL_KNOWN = Thresholds(0.0, 0.0, 0.0)


class Calibration(NamedTuple):
    """The temperature, the thresholds, and in percent how good the answers were out of fold.

    ``judged`` images were answered by heads that had not seen their scene. ``interval`` is that
    of the top-1, 95 %, in percent. Where nothing could be held out, all is None.
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
        cosines[held_out] = nearest(rows, *prototypes(moments))
    raw, truth = logits[judged].astype(np.float32), statistics.labels[judged]
    temperature = fit_temperature(raw, truth)
    probabilities = calibrated(raw, temperature)
    score = (cosines[judged] * np.sqrt(probabilities.max(axis=1))).astype(np.float32)
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
    """The fold of each kept image; the images of a scene stay together.

    Scenes are those of docs/decisions/005. Of a class that is all one scene the images are held
    out one by one, only exact duplicates together: its figures flatter.
    """
    pictures = [LabelledImage(Path(), int(label)) for label in statistics.labels]
    rows = statistics.features.astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    scenes = np.array(group_scenes(pictures, rows))
    for label in np.unique(statistics.labels):
        members = np.flatnonzero(statistics.labels == label)
        if len(set(scenes[members])) == 1:
            scenes[members] = scenes.max() + 1 + np.arange(len(members))
    return np.array(scene_folds(pictures, scenes.tolist(), FOLDS, seed))


def prototypes(moments: Moments) -> tuple[Doubles, Doubles]:
    """The centre [D] of all images, and a direction [K, D] for each class, of length 1.

    A direction is that of the class's mean from the centre, divided by the shrunk covariance: what
    varies much within the classes counts less. docs/decisions/021 has what was measured.
    """
    centre = moments.sums.sum(axis=0) / moments.counts.sum()
    around = moments.sums / moments.counts[:, None] - centre
    return centre, _of_length_one(np.linalg.solve(covariance(moments), around.T).T)


def nearest(rows: Doubles, centre: Doubles, directions: Doubles) -> Doubles:
    """The cosine [N], at least 0, of features [N, D] to the nearest prototype."""
    cosines: Doubles = (_of_length_one(rows - centre) @ directions.T).max(axis=1).clip(0, 1)
    return cosines


def _of_length_one(vectors: Doubles) -> Doubles:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12))
