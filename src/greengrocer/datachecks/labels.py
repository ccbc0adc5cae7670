"""Images whose label may be wrong: the other images say something else, and say it surely.

As in confident learning (Northcutt, Jiang and Chuang, JAIR 2021) an image counts for a class where
its probability is high for that class, so that hard classes need less: at least half the mean one
of the images that have this label. It is a suspect where that class is far likelier than the
label, and no image of its label looks more like it than one of another. Classes of few images are
not judged: of ten classes of four images, one image in 25 was a suspect by chance.

Copies of an image do not judge it: of its class they would vouch for it, and of another class they
would accuse the right one as well as the wrong one. Probabilities are out of fold, and folds keep
copies together. Other photos of the scene may speak: they know best what it shows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from greengrocer.datachecks.discriminant import main_directions, out_of_fold
from greengrocer.datachecks.findings import WrongLabel
from greengrocer.datachecks.folds import ALWAYS_TRAINS, group_folds
from greengrocer.datachecks.groups import Groups
from greengrocer.datachecks.neighbours import centred_unit
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.safe_text import one_line

FOLDS = 8
RESEMBLES = 3  # images of the suggested class that are shown
TYPICAL = 0.5  # of the mean probability of a class's own images: enough to count for it
LEAST_ODDS, ODDS = 10.0, 50.0  # of the suggested class against the given one
FEWEST = 6  # images of either class: fewer look like another class by chance too often


def suspect_labels(
    images: Sequence[LabelledImage], features: Floats, groups: Groups, classes: Sequence[str]
) -> tuple[WrongLabel, ...]:
    """The suspects, surest first. ``features`` is float32 [N, D], ``classes`` names the labels."""
    labels = np.array([image.label for image in images], np.int64)
    folds = group_folds(images, groups.copies, FOLDS)
    enough = np.bincount(labels, minlength=len(classes)) >= FEWEST
    if enough.sum() < 2 or (folds == ALWAYS_TRAINS).all():
        return ()
    unit = centred_unit(features)
    probabilities = out_of_fold(main_directions(unit), labels, len(classes), folds)
    suggested = confident_classes(probabilities, labels)
    odds = _odds(probabilities, labels)
    doubtful = (suggested >= 0) & (suggested != labels) & enough[labels] & enough[suggested]
    found = []
    for index in np.flatnonzero(doubtful).tolist():
        own, other = int(labels[index]), int(suggested[index])
        sure, given = float(probabilities[index, other]), float(probabilities[index, own])
        if sure < odds * given:
            continue
        near = _nearest(unit, index, groups.copies)
        # one image of its class looks more like it than any other
        if not len(near) or labels[near[0]] == own:
            continue
        like = tuple(images[at].path for at in near if labels[at] == other)[:RESEMBLES]
        reason = _reason(classes[own], classes[other], sure)
        found.append(WrongLabel(images[index].path, own, other, sure, given, like, reason))
    found.sort(key=lambda each: (each.given_probability / each.confidence, str(each.path)))
    return tuple(found)


def confident_classes(probabilities: Floats, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The class [N] that each image confidently counts for; -1 for none, or where it is unjudged.

    ``probabilities`` is float32 [N, C], out of fold; rows of unjudged images are NaN.
    """
    count, classes = probabilities.shape
    judged = np.asarray(~np.isnan(probabilities).any(axis=1), np.bool_)
    own = probabilities[np.arange(count), labels]
    thresholds = np.ones(classes)
    for label in np.unique(labels[judged]):
        thresholds[label] = TYPICAL * own[judged & (labels == label)].mean()
    likely = np.where(np.isnan(probabilities), -1, probabilities)
    likely = np.where(likely >= thresholds, likely, -1)
    return np.where(likely.max(axis=1) >= 0, likely.argmax(axis=1), -1)


def _odds(probabilities: Floats, labels: NDArray[np.int64]) -> float:
    """The odds of a suspect: 50, or half of what calibrated probabilities can reach at most.

    Where a share e of the labels disagrees, the odds of one against one of k others are at most
    (1 - e) k / e, however clear the images are: wrong labels count in the calibration as well.
    """
    judged = ~np.isnan(probabilities).any(axis=1)
    wrong = float((probabilities[judged].argmax(axis=1) != labels[judged]).mean())
    others = len(np.unique(labels)) - 1
    reached = np.inf if wrong == 0 else (1 - wrong) * others / wrong
    return float(np.clip(reached / 2, LEAST_ODDS, ODDS))


def _nearest(unit: Floats, index: int, copies: Sequence[int]) -> NDArray[np.int64]:
    """The other images, nearest first, without its copies."""
    alike = unit @ unit[index]
    own = np.equal(copies, copies[index])
    alike[own] = -2
    order = np.argsort(-alike, kind="stable")
    return order[: len(order) - int(own.sum())]


def _reason(given: str, suggested: str, sure: float) -> str:
    given, suggested = one_line(given, 80), one_line(suggested, 80)
    return (
        f"labelled {given}, but the other images say {suggested} ({100 * sure:.0f} % sure): "
        "look at it, and move it if they are right"
    )
