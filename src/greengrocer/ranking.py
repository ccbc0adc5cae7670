"""From probabilities to a ranked answer with class names: one pure function."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from greengrocer.engines.engine import Floats, Inference
from greengrocer.errors import InvalidAnswer, NoEvidence

ROUNDING = 1e-3  # by which a probability may be over 1


class Ranked(NamedTuple):
    """A class and its calibrated probability, 0 to 1."""

    name: str
    confidence: float


class ModelId(NamedTuple):
    """Which model gave an answer."""

    name: str
    version: str


class Level(StrEnum):
    """How specific an answer is: a class, a coarse class, or neither."""

    FINE = "fine"
    COARSE = "coarse"
    UNKNOWN = "unknown"


class NamedClass(NamedTuple):
    """The most specific class that the model is confident of; ``name`` is None for UNKNOWN."""

    level: Level
    name: str | None


@dataclass(frozen=True)
class ModelLabels:
    """The class names and thresholds of a model. ``coarse`` is None without a hierarchy.

    An image is known if its score is at least ``known_threshold``, which is None for a model that
    gives no score. A class of a level is named if its confidence is at least the threshold of that
    level. ``evidence``: whether the model gives any. ``figures`` are what its bundle says of its
    quality, by name, as ``out_of_fold_top1``.
    """

    model: ModelId
    classes: tuple[str, ...]
    coarse: tuple[str, ...] | None
    known_threshold: float | None
    fine_threshold: float = 0.0
    coarse_threshold: float = 0.0
    evidence: bool = True
    figures: Mapping[str, float] = field(default_factory=dict, hash=False)

    def check_evidence(self) -> None:
        """Raise NoEvidence where the model gives none."""
        if not self.evidence:
            raise NoEvidence(
                f"the model {self.model.name} gives no evidence: its graph has no linear layer "
                "behind a mean over places"
            )


class AnswerOptions(NamedTuple):
    """What the caller wants in an answer: the ``top`` best classes, and optional parts."""

    top: int = 5
    evidence: bool = False
    overlay: bool = False
    tensors: tuple[str, ...] = ()  # names of an Inference's fields


DEFAULT_OPTIONS = AnswerOptions()  # the default


@dataclass(frozen=True)
class Answer:
    """The answer for one image.

    ``top`` is in order of confidence and never empty. ``coarse`` is the coarse class with the
    largest summed probability, which may not be that of ``top[0]``; None without a hierarchy.
    ``known_score`` is the out-of-distribution score, 0 to 1 (higher: more familiar). ``known`` says
    whether it reaches the model's threshold. ``named`` is the class that the model is confident of.

    Only on request: ``evidence``, the class activation map of ``top[0]``, float32 [h, w], whose
    mean is that class's calibrated logit, and ``evidence_box``, where its rows and columns lie on
    the upright image (left, top, right, bottom, as shares of its width and height; None: over all
    of it); ``overlay``, a PNG of it over the image; ``tensors``, the raw outputs for this image,
    each as in an Inference without its first dimension. ``known``, ``known_score`` and ``evidence``
    are None for a model that does not give them.
    """

    model: ModelId
    top: tuple[Ranked, ...]
    coarse: Ranked | None
    known: bool | None
    known_score: float | None
    named: NamedClass
    evidence: Floats | None = field(default=None, repr=False, compare=False)
    overlay: bytes | None = field(default=None, repr=False)
    tensors: Mapping[str, Floats] = field(default_factory=dict, repr=False, compare=False)
    evidence_box: tuple[float, float, float, float] | None = field(default=None, repr=False)

    @property
    def prediction(self) -> str:
        """The name of the class with the highest probability."""
        return self.top[0].name

    @property
    def confidence(self) -> float:
        """The calibrated probability of ``prediction``, 0 to 1."""
        return self.top[0].confidence


def rank(
    inference: Inference, index: int, labels: ModelLabels, options: AnswerOptions = DEFAULT_OPTIONS
) -> Answer:
    """The answer for image ``index`` of ``inference``, as ``options`` asks, but without an overlay.

    Equal probabilities are ordered by class id. Raises InvalidAnswer where a number of the answer
    cannot be what it stands for, such as NaN.
    """
    known_score, known = _known(inference, index, labels)
    probabilities = inference.probabilities[index]
    _check_probabilities(probabilities)
    best = _best(probabilities, labels.classes, options.top)
    coarse = None
    if inference.coarse is not None and labels.coarse is not None:
        _check_probabilities(inference.coarse[index])
        coarse = _best(inference.coarse[index], labels.coarse, 1)[0]
    evidence = None
    if (options.evidence or options.overlay) and inference.evidence is not None:
        evidence = inference.evidence[index, :, :, probabilities.argmax()]
        _check_finite(evidence, "evidence")
    tensors = {
        name: values[index]
        for name in options.tensors
        if (values := getattr(inference, name)) is not None
    }
    for what, values in tensors.items():
        _check_finite(values, what)
    return Answer(
        model=labels.model,
        top=best,
        coarse=coarse,
        known=known,
        known_score=known_score,
        named=name(best[0], coarse, known, labels),
        evidence=evidence,
        tensors=tensors,
    )


def _known(
    inference: Inference, index: int, labels: ModelLabels
) -> tuple[float, bool] | tuple[None, None]:
    """The known score, and whether it reaches the threshold."""
    if inference.known_score is None or labels.known_threshold is None:
        return None, None
    _check_finite(inference.known_score[index], "known score")
    score = float(inference.known_score[index])
    return score, score >= labels.known_threshold


def name(
    fine: Ranked, coarse: Ranked | None, known: bool | None, labels: ModelLabels
) -> NamedClass:
    """The fine class if the model is confident of it, else the coarse one if so, else UNKNOWN.

    ``known`` is None where the model does not tell: then confidence alone decides.
    """
    if known is False:
        return NamedClass(Level.UNKNOWN, None)
    if fine.confidence >= labels.fine_threshold:
        return NamedClass(Level.FINE, fine.name)
    if coarse is not None and coarse.confidence >= labels.coarse_threshold:
        return NamedClass(Level.COARSE, coarse.name)
    return NamedClass(Level.UNKNOWN, None)


def _check_probabilities(values: Floats) -> None:
    if not (values.min() >= 0 and values.max() <= 1 + ROUNDING):  # so that NaN is refused, too
        raise InvalidAnswer("the model gives this image probabilities that are not from 0 to 1")


def _check_finite(values: Floats, what: str) -> None:
    if not np.isfinite(values).all():
        raise InvalidAnswer(f"the model gives this image no finite numbers as {what}")


def _best(probabilities: Floats, names: tuple[str, ...], count: int) -> tuple[Ranked, ...]:
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Ranked(names[i], min(1.0, float(probabilities[i]))) for i in order)
