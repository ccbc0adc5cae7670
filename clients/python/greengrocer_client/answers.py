"""What the service answers, as typed objects. Fields that this client does not know are ignored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from greengrocer_client.errors import UnexpectedAnswer

T = TypeVar("T")


class Ranked(NamedTuple):
    """A class and its calibrated probability, 0 to 1."""

    name: str
    confidence: float


class ModelId(NamedTuple):
    """Which model gave an answer."""

    name: str
    version: str


class NamedClass(NamedTuple):
    """The most specific class that the model is confident of.

    ``level`` is ``fine``, ``coarse`` or ``unknown``; ``name`` is None for ``unknown``.
    """

    level: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The class activation map of the prediction.

    ``values`` are in logits, row by row; ``shape`` is rows and columns. They are spread evenly over
    the upright image, or over ``box``: its left, top, right and bottom, as shares of the image's
    width and height.
    """

    name: str
    shape: tuple[int, int]
    values: tuple[float, ...]
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one image; its attributes have the names of those of the Python API.

    ``prediction`` is the likeliest class and ``confidence`` its calibrated probability, 0 to 1.
    ``named`` is the class that the model is confident of. ``top`` has the best classes, in order.
    ``coarse`` is None for a model without a hierarchy, ``known`` and ``known_score`` for one that
    gives no score, and ``evidence`` unless it was asked for.
    """

    prediction: str
    confidence: float
    coarse: Ranked | None
    named: NamedClass
    known: bool | None
    known_score: float | None
    top: tuple[Ranked, ...]
    model: ModelId
    request_id: str
    evidence: Evidence | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An image with the class activation map of its ``prediction`` as a heat map: a PNG file."""

    prediction: str
    png: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model that the service has, and what it can do.

    ``name`` is what ``model=`` takes, as ``shop`` or ``shop@next``; ``default`` says whether the
    model answers where none is named. ``classes`` and ``coarse_classes`` are numbers of classes,
    the second None for a model without a hierarchy. ``known`` and ``evidence`` say whether answers
    have them. ``figures`` has what the bundle says of its quality, by name.
    """

    name: str
    version: str
    default: bool
    classes: int
    coarse_classes: int | None
    known: bool
    evidence: bool
    figures: Mapping[str, float] = field(repr=False)


def read_answer(body: object) -> Answer:
    """The answer that a response's JSON describes; raises UnexpectedAnswer."""
    return _read(_answer, body)


def read_class_names(body: object) -> tuple[str, ...]:
    """The classes that a response's JSON lists; raises UnexpectedAnswer."""
    return _read(lambda known: tuple(map(str, known["classes"])), body)


def read_models(body: object) -> tuple[ServedModel, ...]:
    """The models that a response's JSON lists; raises UnexpectedAnswer."""
    return _read(lambda known: tuple(map(_model, known["models"])), body)


def _read(read: Callable[[Mapping[str, Any]], T], body: object) -> T:
    if not isinstance(body, Mapping):
        raise UnexpectedAnswer("the answer is no JSON object: is it Greengrocer's?")
    try:
        return read(body)
    except KeyError as error:
        reason = f"the answer lacks the field {error}: is it Greengrocer's?"
        raise UnexpectedAnswer(reason) from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswer(f"the answer is not one of Greengrocer's: {error}") from error


def _answer(body: Mapping[str, Any]) -> Answer:
    coarse, score, evidence = body["coarse"], body["known_score"], body.get("evidence")
    return Answer(
        prediction=str(body["prediction"]),
        confidence=float(body["confidence"]),
        coarse=None if coarse is None else _ranked(coarse, "prediction"),
        named=NamedClass(str(body["answer"]["level"]), body["answer"]["name"]),
        known=None if body["known"] is None else bool(body["known"]),
        known_score=None if score is None else float(score),
        top=tuple(_ranked(each, "class") for each in body["top"]),
        model=ModelId(str(body["model"]["name"]), str(body["model"]["version"])),
        request_id=str(body["request_id"]),
        evidence=None if evidence is None else _evidence(evidence),
    )


def _model(body: Mapping[str, Any]) -> ServedModel:
    coarse = body["coarse_classes"]
    return ServedModel(
        name=str(body["name"]),
        version=str(body["version"]),
        default=bool(body["default"]),
        classes=int(body["classes"]),
        coarse_classes=None if coarse is None else int(coarse),
        known=bool(body["known"]),
        evidence=bool(body["evidence"]),
        figures={str(name): float(value) for name, value in body["figures"].items()},
    )


def _ranked(body: Mapping[str, Any], name: str) -> Ranked:
    return Ranked(str(body[name]), float(body["confidence"]))


def _evidence(body: Mapping[str, Any]) -> Evidence:
    rows, columns = body["shape"]
    box = body.get("box")
    if box is not None:
        left, top, right, bottom = map(float, box)
        box = left, top, right, bottom
    values = tuple(map(float, body["values"]))
    return Evidence(str(body["class"]), (int(rows), int(columns)), values, box)
