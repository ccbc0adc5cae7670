"""How images, answers and labels lie in the body of a frame."""

import math
from itertools import compress

import numpy as np

from greengrocer.engines.engine import Floats, Inference
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, Ask, Labels, Level, ModelId, Named, Ranked
from greengrocer.serving.frames.fields import Malformed, Reader, Writer
from greengrocer.serving.rate_limits import RateLimitState

LEVELS = tuple(Level)
MAX_SIDES = 4  # of an array's shape
MAX_VALUES = 1 << 30  # of an array, sides of nothing counted as one: numpy has its limits
TENSORS = Inference._fields
WANTED = ("evidence", "overlay", *TENSORS)  # what an image's bits ask for, the lowest first
CHANNELS = 3


def ask_bits(ask: Ask) -> int:
    """What is asked for but the top, a bit for each of ``WANTED``."""
    wanted = (ask.evidence, ask.overlay, *(name in ask.tensors for name in TENSORS))
    return sum(1 << place for place, want in enumerate(wanted) if want)


def get_ask(top: int, bits: int) -> Ask:
    """The same back; raises Malformed, as all that read do."""
    if bits >> len(WANTED):
        raise Malformed("more is asked for than there is")
    evidence, overlay, *tensors = (bool(bits >> place & 1) for place in range(len(WANTED)))
    return Ask(top, evidence, overlay, tuple(compress(TENSORS, tensors)))


def put_picture(body: Writer, picture: Picture) -> None:
    """A file's bytes, behind a height and a width of 0; or pixels, behind theirs."""
    if isinstance(picture, bytes):
        body.put("II", 0, 0)
        body.raw(picture)
    else:
        body.put("II", *picture.shape[:2])
        body.raw(np.ascontiguousarray(picture).data.cast("B"))


def get_picture(reader: Reader) -> Picture:
    """An image, to the end of the body."""
    height, width = reader.get("II")
    content = reader.rest()
    if not height and not width:
        return content
    if not content or height * width * CHANNELS != len(content):
        raise Malformed("pixels that are not of their size")
    return np.frombuffer(content, np.uint8).reshape(height, width, CHANNELS)


def put_answer(body: Writer, answer: Answer) -> None:
    """An answer, to the end of the body."""
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


def get_answer(reader: Reader) -> Answer:
    """An answer."""
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


def put_labels(body: Writer, labels: Labels) -> None:
    """What a model is."""
    body.text(labels.model.name)
    body.text(labels.model.version)
    body.put("ddd", labels.known_threshold, labels.fine_threshold, labels.coarse_threshold)
    body.texts(labels.classes)
    body.put("?", labels.coarse is not None)
    body.texts(labels.coarse or ())


def put_rate_limit_states(body: Writer, states: tuple[RateLimitState, ...]) -> None:
    """What is left to a client."""
    body.put("B", len(states))
    for limit, *numbers in states:
        body.text(limit)
        body.put("Idd", *numbers)


def get_rate_limit_states(reader: Reader) -> tuple[RateLimitState, ...]:
    """What is left to a client."""
    (count,) = reader.get("B")
    states = tuple(RateLimitState(reader.text(), *reader.get("Idd")) for _ in range(count))
    if not all(math.isfinite(each.reset) and math.isfinite(each.wait) for each in states):
        raise Malformed("a limit that is for ever")
    return states


def get_labels(reader: Reader) -> Labels:
    """What a model is."""
    model = ModelId(reader.text(), reader.text())
    known, fine, coarse = reader.get("ddd")
    classes = reader.texts()
    (has_coarse,) = reader.get("?")
    coarse_classes = reader.texts()
    return Labels(model, classes, coarse_classes if has_coarse else None, known, fine, coarse)
