"""Probabilities become named, ordered, honest answers: one pure function."""

from dataclasses import dataclass, field
from enum import StrEnum
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


class Level(StrEnum):
    """How closely an answer names what a picture shows."""

    FINE = "fine"
    COARSE = "coarse"
    UNKNOWN = "unknown"


class Named(NamedTuple):
    """What the model stands for: a class of the level, or no name where that is unknown."""

    level: Level
    name: str | None


@dataclass(frozen=True)
class Labels:
    """What ranking must know of a model. ``coarse`` is None without a hierarchy.

    A threshold is the least score, or confidence at its level, that is believed.
    """

    model: ModelId
    classes: tuple[str, ...]
    coarse: tuple[str, ...] | None
    known_threshold: float
    fine_threshold: float = 0.0
    coarse_threshold: float = 0.0


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
    named: Named
    evidence: Floats = field(repr=False, compare=False)


def rank(inference: Inference, index: int, labels: Labels, top: int) -> Answer:
    """The answer for picture ``index`` of ``inference``, with its ``top`` best classes.

    Equal probabilities are ordered by class id.
    """
    known_score = float(inference.known_score[index])
    known = known_score >= labels.known_threshold
    best = _best(inference.probabilities[index], labels.classes, top)
    coarse = None
    if inference.coarse is not None and labels.coarse is not None:
        coarse = _best(inference.coarse[index], labels.coarse, 1)[0]
    return Answer(
        model=labels.model,
        top=best,
        coarse=coarse,
        known=known,
        known_score=known_score,
        named=name(best[0], coarse, known, labels),
        evidence=inference.evidence[index],
    )


def name(fine: Ranked, coarse: Ranked | None, known: bool, labels: Labels) -> Named:
    """The fine class, the coarse one where the fine one is unsure, or nothing at all."""
    if known and fine.confidence >= labels.fine_threshold:
        return Named(Level.FINE, fine.name)
    if known and coarse is not None and coarse.confidence >= labels.coarse_threshold:
        return Named(Level.COARSE, coarse.name)
    return Named(Level.UNKNOWN, None)


def _best(probabilities: Floats, names: tuple[str, ...], count: int) -> tuple[Ranked, ...]:
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Ranked(names[i], min(1.0, float(probabilities[i]))) for i in order)
