"""What the engine process and the HTTP processes say to each other, as fixed binary frames.

A frame is a head (kind, number of the picture that it is about, length of what follows) and a
body whose layout its kind fixes. All numbers are big-endian, arrays are little-endian float32.
"""

import math
import struct
from dataclasses import dataclass, field
from itertools import compress
from typing import NamedTuple

import numpy as np

from greengrocer.engines.engine import Floats, Inference
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, Ask, Labels, Level, ModelId, Named, Ranked
from greengrocer.serving.workers.fields import Malformed, Reader, Writer

HEAD = struct.Struct(">BQI")
MAX_DETAIL = 2000  # characters of a refusal's text
MAX_SIDES = 4  # of an array's shape
MAX_VALUES = 1 << 30  # of an array, sides of nothing counted as one: numpy has its limits
TENSORS = Inference._fields
WANTED = ("evidence", "overlay", *TENSORS)  # what a picture's bits ask for, the lowest first
CHANNELS = 3


class Classify(NamedTuple):
    """Answer for this picture. A suspect was in flight when an engine crashed."""

    id: int
    ask: Ask
    seconds: float  # until its deadline
    suspect: bool
    request_id: str
    picture: Picture


class Cancel(NamedTuple):
    """Nobody waits for this picture any more."""

    id: int


class Begun(NamedTuple):
    """The engine works on this suspect now, and on nothing else."""

    id: int


@dataclass(frozen=True)
class Answered:
    """The answer for a picture, and the seconds that a thread spent on it."""

    id: int
    seconds: float
    answer: Answer = field(repr=False)


class Refused(NamedTuple):
    """The picture gets no answer: a refusal's code and text, and when to come again."""

    id: int
    code: str
    detail: str
    retry_after: float


class Failed(NamedTuple):
    """The engine failed in a way that it did not foresee; its log says how."""

    id: int


@dataclass(frozen=True)
class Described:
    """What the model is; sent to whoever connects, and to all when it changes."""

    labels: Labels
    id: int = 0


Frame = Classify | Cancel | Begun | Answered | Refused | Failed | Described
BARE: tuple[type[Cancel | Begun | Failed], ...] = (Cancel, Begun, Failed)
KINDS: tuple[type[Frame], ...] = (*BARE, Classify, Answered, Refused, Described)
KIND_OF = {kind: number for number, kind in enumerate(KINDS, 1)}
LEVELS = tuple(Level)


def encode(frame: Frame) -> bytes:
    """The bytes of ``frame``; raises ValueError for what its layout cannot hold."""
    body = Writer()
    match frame:
        case Classify():
            body.put("HB?d", frame.ask.top, _bits(frame.ask), frame.suspect, frame.seconds)
            body.text(frame.request_id)
            _put_picture(body, frame.picture)
        case Answered():
            body.put("d", frame.seconds)
            _put_answer(body, frame.answer)
        case Refused():
            body.text(frame.code)
            body.text(frame.detail[:MAX_DETAIL])
            body.put("d", frame.retry_after)
        case Described():
            _put_labels(body, frame.labels)
    try:
        return body.after(HEAD.pack(KIND_OF[type(frame)], frame.id, body.length))
    except struct.error as error:
        raise ValueError(f"no frame: {error}") from error


def decode(kind: type[Frame], number: int, body: bytes) -> Frame:
    """The frame of this ``kind``; raises Malformed."""
    reader = Reader(body)
    frame = _decode(kind, number, reader)
    reader.end()
    return frame


def _decode(kind: type[Frame], number: int, reader: Reader) -> Frame:
    if kind is Classify:
        top, bits, suspect, seconds = reader.get("HB?d")
        if not top or math.isnan(seconds):
            raise Malformed("a picture without a top or a deadline")
        request_id, picture = reader.text(), _get_picture(reader)
        return Classify(number, _ask(top, bits), seconds, suspect, request_id, picture)
    if kind is Answered:
        (seconds,) = reader.get("d")
        return Answered(number, seconds, _get_answer(reader))
    if kind is Refused:
        code, detail, (retry_after,) = reader.text(), reader.text(), reader.get("d")
        if not math.isfinite(retry_after):
            raise Malformed("a refusal that is for ever")
        return Refused(number, code, detail, retry_after)
    if kind is Described:
        return Described(_get_labels(reader), number)
    assert kind in BARE
    return kind(number)


def _bits(ask: Ask) -> int:
    wanted = (ask.evidence, ask.overlay, *(name in ask.tensors for name in TENSORS))
    return sum(1 << place for place, want in enumerate(wanted) if want)


def _ask(top: int, bits: int) -> Ask:
    if bits >> len(WANTED):
        raise Malformed("more is asked for than there is")
    evidence, overlay, *tensors = (bool(bits >> place & 1) for place in range(len(WANTED)))
    return Ask(top, evidence, overlay, tuple(compress(TENSORS, tensors)))


def _put_picture(body: Writer, picture: Picture) -> None:
    """A file's bytes, behind a height and a width of 0; or pixels, behind theirs."""
    if isinstance(picture, bytes):
        body.put("II", 0, 0)
        body.raw(picture)
    else:
        body.put("II", *picture.shape[:2])
        body.raw(np.ascontiguousarray(picture).data.cast("B"))


def _get_picture(reader: Reader) -> Picture:
    height, width = reader.get("II")
    content = reader.rest()
    if not height and not width:
        return content
    if not content or height * width * CHANNELS != len(content):
        raise Malformed("pixels that are not of their size")
    return np.frombuffer(content, np.uint8).reshape(height, width, CHANNELS)


def _put_answer(body: Writer, answer: Answer) -> None:
    body.text(answer.model.name)
    body.text(answer.model.version)
    body.put("?dB", answer.known, answer.known_score, LEVELS.index(answer.named.level))
    body.optional_text(answer.named.name)
    body.optional_text(answer.coarse.name if answer.coarse else None)
    body.put("d", answer.coarse.confidence if answer.coarse else 0.0)
    body.put("H", len(answer.top))
    for name, confidence in answer.top:
        body.text(name)
        body.put("d", confidence)
    body.put("?", answer.evidence is not None)
    if answer.evidence is not None:
        _put_array(body, answer.evidence)
    body.put("B", len(answer.tensors))
    for name, values in answer.tensors.items():
        body.text(name)
        _put_array(body, values)
    body.put("?", answer.overlay is not None)
    body.raw(answer.overlay or b"")


def _put_array(body: Writer, values: Floats) -> None:
    body.put("B" + "I" * values.ndim, values.ndim, *values.shape)
    body.raw(values.astype("<f4").tobytes())


def _get_answer(reader: Reader) -> Answer:
    model = ModelId(reader.text(), reader.text())
    known, known_score, level = reader.get("?dB")
    if level >= len(LEVELS):
        raise Malformed("an unknown level")
    named = Named(LEVELS[level], reader.optional_text())
    coarse_name = reader.optional_text()
    (coarse_confidence,) = reader.get("d")
    (count,) = reader.get("H")
    top = tuple(Ranked(reader.text(), *reader.get("d")) for _ in range(count))
    if not top:
        raise Malformed("an answer without a class")
    (explained,) = reader.get("?")
    evidence = _get_array(reader) if explained else None
    (count,) = reader.get("B")
    tensors = {reader.text(): _get_array(reader) for _ in range(count)}
    (overlaid,) = reader.get("?")
    return Answer(
        model=model,
        top=top,
        coarse=None if coarse_name is None else Ranked(coarse_name, coarse_confidence),
        known=known,
        known_score=known_score,
        named=named,
        evidence=evidence,
        overlay=reader.rest() if overlaid else None,
        tensors=tensors,
    )


def _get_array(reader: Reader) -> Floats:
    (sides,) = reader.get("B")
    if sides > MAX_SIDES:
        raise Malformed("an array of too many dimensions")
    shape = reader.get("I" * sides)
    if math.prod(side or 1 for side in shape) > MAX_VALUES:
        raise Malformed("an array of too many values")
    content = reader.raw(math.prod(shape) * 4)
    return np.frombuffer(content, "<f4").reshape(shape).astype(np.float32, copy=False)


def _put_labels(body: Writer, labels: Labels) -> None:
    body.text(labels.model.name)
    body.text(labels.model.version)
    body.put("ddd", labels.known_threshold, labels.fine_threshold, labels.coarse_threshold)
    body.texts(labels.classes)
    body.put("?", labels.coarse is not None)
    body.texts(labels.coarse or ())


def _get_labels(reader: Reader) -> Labels:
    model = ModelId(reader.text(), reader.text())
    known, fine, coarse = reader.get("ddd")
    classes = reader.texts()
    (has_coarse,) = reader.get("?")
    coarse_classes = reader.texts()
    return Labels(model, classes, coarse_classes if has_coarse else None, known, fine, coarse)
