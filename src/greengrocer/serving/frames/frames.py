"""What the engine process and the HTTP processes say to each other, as fixed binary frames.

A frame is a head (kind, number of the image that it is about, length of what follows) and a
body whose layout its kind fixes. All numbers are big-endian, arrays are little-endian float32.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, Ask, Labels
from greengrocer.serving.frames.contents import (
    ask_bits,
    get_answer,
    get_ask,
    get_labels,
    get_picture,
    get_rate_limit_states,
    put_answer,
    put_labels,
    put_picture,
    put_rate_limit_states,
)
from greengrocer.serving.frames.fields import Malformed, Reader, Writer
from greengrocer.serving.rate_limits import RateLimitState

HEAD = struct.Struct(">BQI")
MAX_DETAIL = 2000  # characters of a refusal's text


class Classify(NamedTuple):
    """Answer for this image. A suspect was in flight when an engine crashed."""

    id: int
    ask: Ask
    seconds: float  # until its deadline
    suspect: bool
    request_id: str
    picture: Picture
    patient: bool = False  # it waits for a place


class Cancel(NamedTuple):
    """Nobody waits for this image any more."""

    id: int


class Ping(NamedTuple):
    """Are you there? It comes back as it is."""

    id: int = 0


class RateLimitRequest(NamedTuple):
    """Count a request of a client: of its address, and of the key that it has shown."""

    id: int
    address: str
    key: str | None


class RateLimitReply(NamedTuple):
    """How the client stands then."""

    id: int
    states: tuple[RateLimitState, ...]


class Begun(NamedTuple):
    """The engine works on this suspect now, and on nothing else."""

    id: int


@dataclass(frozen=True)
class Answered:
    """The answer for an image, and the seconds that a thread spent on it."""

    id: int
    seconds: float
    answer: Answer = field(repr=False)


class Refused(NamedTuple):
    """The image gets no answer: a refusal's code and text, and when to come again."""

    id: int
    code: str
    detail: str
    retry_after: float
    seconds: float = 0.0  # that a thread spent on it


class Failed(NamedTuple):
    """The engine failed in a way that it did not foresee; its log says how."""

    id: int


@dataclass(frozen=True)
class Described:
    """What the model is; sent to whoever connects, and to all when it changes."""

    labels: Labels
    id: int = 0


Frame = (
    Classify
    | Cancel
    | Begun
    | Answered
    | Refused
    | Failed
    | Described
    | RateLimitRequest
    | RateLimitReply
    | Ping
)
BARE: tuple[type[Cancel | Begun | Failed | Ping], ...] = (Cancel, Begun, Failed, Ping)
KINDS: tuple[type[Frame], ...] = (
    *BARE,
    Classify,
    Answered,
    Refused,
    Described,
    RateLimitRequest,
    RateLimitReply,
)
KIND_OF = {kind: number for number, kind in enumerate(KINDS, 1)}


def encode(frame: Frame) -> bytes:
    """The bytes of ``frame``; raises ValueError for what its layout cannot hold."""
    body = Writer()
    match frame:
        case Classify():
            flags = frame.suspect, frame.patient
            body.put("HB??d", frame.ask.top, ask_bits(frame.ask), *flags, frame.seconds)
            body.text(frame.request_id)
            put_picture(body, frame.picture)
        case Answered():
            body.put("d", frame.seconds)
            put_answer(body, frame.answer)
        case Refused():
            body.text(frame.code)
            body.text(frame.detail[:MAX_DETAIL])
            body.put("dd", frame.retry_after, frame.seconds)
        case Described():
            put_labels(body, frame.labels)
        case RateLimitRequest():
            body.text(frame.address)
            body.optional_text(frame.key)
        case RateLimitReply():
            put_rate_limit_states(body, frame.states)
    try:
        return body.after(HEAD.pack(KIND_OF[type(frame)], frame.id, body.length))
    except struct.error as error:
        raise ValueError(f"no frame: {error}") from error


def decode(kind: type[Frame], number: int, body: bytes) -> Frame:
    """The frame of this ``kind``; raises Malformed."""
    reader = Reader(body)
    frame = DECODERS[kind](number, reader)
    reader.end()
    return frame


def _classify(number: int, reader: Reader) -> Frame:
    top, wanted, suspect, patient, seconds = reader.get("HB??d")
    if not top or math.isnan(seconds):
        raise Malformed("an image without a top or a deadline")
    request_id, picture = reader.text(), get_picture(reader)
    ask = get_ask(top, wanted)
    return Classify(number, ask, seconds, suspect, request_id, picture, patient)


def _answered(number: int, reader: Reader) -> Frame:
    (seconds,) = reader.get("d")
    return Answered(number, seconds, get_answer(reader))


def _refused(number: int, reader: Reader) -> Frame:
    code, detail, times = reader.text(), reader.text(), reader.get("dd")
    if not all(map(math.isfinite, times)):
        raise Malformed("a refusal that is for ever")
    return Refused(number, code, detail, *times)


DECODERS: dict[type[Frame], Callable[[int, Reader], Frame]] = {
    Cancel: lambda number, _: Cancel(number),
    Begun: lambda number, _: Begun(number),
    Failed: lambda number, _: Failed(number),
    Ping: lambda number, _: Ping(number),
    Classify: _classify,
    Answered: _answered,
    Refused: _refused,
    Described: lambda number, reader: Described(get_labels(reader), number),
    RateLimitRequest: lambda number, reader: RateLimitRequest(
        number, reader.text(), reader.optional_text()
    ),
    RateLimitReply: lambda number, reader: RateLimitReply(number, get_rate_limit_states(reader)),
}
