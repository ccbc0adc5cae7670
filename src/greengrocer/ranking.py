"""Probabilities become named, ordered, honest answers: one pure function."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from greengrocer.engines.engine import Floats, Inference


class Ranked(NamedTuple):
    """A class and how sure the model is of it, 0 to 1."""

    name: str
    confidence: float


class ModelId(NamedTuple):
    """Which model gave an answer."""

    name: str
    version: str


@dataclass(frozen=True)
class Labels:
    """What ranking must know of a model. ``coarse`` is None without a hierarchy."""

    model: ModelId
    classes: tuple[str, ...]
    coarse: tuple[str, ...] | None
    known_threshold: float


@dataclass(frozen=True)
class Answer:
    """The answer for one picture.

    ``top`` is in order of confidence and never empty. ``coarse`` is the largest summed
    probability, which may belong to another coarse class than ``top[0]``. ``evidence`` is
    float32 [h, w, classes], in logits.
    """

    model: ModelId
    top: tuple[Ranked, ...]
    coarse: Ranked | None
    known: bool
    known_score: float
    evidence: Floats = field(repr=False, compare=False)


def rank(inference: Inference, index: int, labels: Labels, top: int) -> Answer:
    """The answer for picture ``index`` of ``inference``, with its ``top`` best classes.

    Equal probabilities are ordered by class id.
    """
    known_score = float(inference.known_score[index])
    return Answer(
        model=labels.model,
        top=_best(inference.probabilities[index], labels.classes, top),
        coarse=None
        if inference.coarse is None or labels.coarse is None
        else _best(inference.coarse[index], labels.coarse, 1)[0],
        known=known_score >= labels.known_threshold,
        known_score=known_score,
        evidence=inference.evidence[index],
    )


def _best(probabilities: Floats, names: tuple[str, ...], count: int) -> tuple[Ranked, ...]:
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Ranked(names[i], min(1.0, float(probabilities[i]))) for i in order)
