"""The frames that the HTTP processes and the engine process send each other.

Each class is one kind of frame. Its ``tag`` is the kind's number. msgspec writes it as a
MessagePack array. Decoding checks the types, the limits in the annotations, and what
``__post_init__`` checks. The ``id`` of a frame is the number of its image or request.
"""

import math
import sys
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Self, cast

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from greengrocer.context import Context, Mark, Stage
from greengrocer.engines.engine import Inference
from greengrocer.errors import NotReady, Overloaded, Refusal
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, AnswerOptions, ModelId, NamedClass, Ranked
from greengrocer.serving.catalogue import Catalogue
from greengrocer.serving.rate_limits import RateLimitState

MAX_SIDES = 4  # of an array's shape
MAX_VALUES = 1 << 30  # of an array, where a side of 0 counts as 1: numpy has limits of its own
MAX_TOP = (1 << 16) - 1
MAX_STATES = 255
MAX_KEY = 201  # characters of a model's key: two names, and what is between them
MAX_DETAIL = 2000  # characters of a refusal's text
MAX_MARKS = 16  # of an image's stages
CHANNELS = 3
TENSORS = Inference._fields

Number = Annotated[int, Meta(ge=0)]
Length = Annotated[int, Meta(ge=1)]
NotNan = Annotated[float, Meta(ge=-sys.float_info.max)]
Finite = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
# Both processes have one monotonic clock: they run on the same machine.
Marks = Annotated[tuple[tuple[Stage, Finite], ...], Meta(max_length=MAX_MARKS)]


class Array(Struct, array_like=True, forbid_unknown_fields=True):
    """An array: its shape, and the bytes of its values in C order.

    The byte order is the machine's: both processes run on the same one.
    """

    dtype: ClassVar[type[np.generic]] = np.float32
    shape: Annotated[tuple[Number, ...], Meta(max_length=MAX_SIDES)]
    data: bytes

    def __post_init__(self) -> None:
        if math.prod(side or 1 for side in self.shape) > MAX_VALUES:
            raise ValueError(f"an array has over {MAX_VALUES} values")
        if math.prod(self.shape) * np.dtype(self.dtype).itemsize != len(self.data):
            raise ValueError("an array's bytes do not match its shape")

    @classmethod
    def of(cls, values: NDArray[Any]) -> Self:
        """``values`` without a copy, if they are contiguous and of the right type."""
        flat = np.ascontiguousarray(values, cls.dtype).reshape(-1)
        # msgspec writes a memoryview as it writes bytes
        return cls(values.shape, cast("bytes", flat.view(np.uint8).data))

    def values(self) -> NDArray[Any]:
        """The array, read-only."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class PixelArray(Array):
    """Pixels: uint8 [height, width, 3], at least one."""

    dtype: ClassVar[type[np.generic]] = np.uint8

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shape) != 3 or self.shape[2] != CHANNELS or not self.data:
            raise ValueError("pixels have a shape other than [height, width, 3]")


class Frame(Struct, array_like=True, forbid_unknown_fields=True):
    """The base class of all frames."""


class Cancel(Frame, tag=1):
    """To the engine: nobody waits for this image any more."""

    id: Number


class Begun(Frame, tag=2):
    """From the engine: it works on this suspect, and on nothing else."""

    id: Number


class Failed(Frame, tag=3):
    """From the engine: it failed in an unexpected way. Its log says how."""

    id: Number


class Ping(Frame, tag=4):
    """To the engine, which sends it back."""


class Classify(Frame, tag=5):
    """To the engine: classify this image."""

    id: Number
    request_id: str
    seconds: NotNan  # until the deadline
    suspect: bool  # the image was in flight when an engine crashed
    patient: bool  # the request waits for a place in the queue
    top: Annotated[int, Meta(ge=1, le=MAX_TOP)]
    evidence: bool
    overlay: bool
    tensors: Annotated[tuple[str, ...], Meta(max_length=len(TENSORS))]
    # The bytes of a file, or pixels, or the length of a file in shared memory: its descriptor is
    # the next one that comes with the bytes of the connection.
    image: bytes | PixelArray | Length
    model: Annotated[str, Meta(max_length=MAX_KEY)] | None = None  # its key; None: the default

    def __post_init__(self) -> None:
        if not set(self.tensors) <= set(TENSORS):
            raise ValueError("an unknown tensor is asked for")

    @classmethod
    def of(
        cls,
        number: int,
        picture: Picture,
        options: AnswerOptions,
        context: Context,
        suspect: bool = False,
        model: str | None = None,
        *,
        shared: bool = False,
    ) -> Self:
        """The frame that asks for ``picture``, under the deadline of ``context``.

        ``shared``, the picture is a file, and its descriptor is sent with the frame.
        """
        image: bytes | PixelArray | int
        if isinstance(picture, np.ndarray):
            image = PixelArray.of(picture)
        else:  # msgspec writes a memoryview as it writes bytes
            image = len(picture) if shared else cast("bytes", picture)
        return cls(
            number,
            context.request_id,
            context.remaining(),
            suspect,
            context.patient,
            *options,
            image,
            model,
        )

    @property
    def options(self) -> AnswerOptions:
        """What the answer is to contain."""
        return AnswerOptions(self.top, self.evidence, self.overlay, self.tensors)

    @property
    def picture(self) -> Picture:
        """The image as the pipeline takes it, once a shared one is in its place."""
        assert not isinstance(self.image, int)
        return self.image.values() if isinstance(self.image, PixelArray) else self.image


class Answered(Frame, tag=6):
    """From the engine: the fields of an Answer, and the seconds that a thread spent on it."""

    id: Number
    seconds: Finite
    model: ModelId
    top: Annotated[tuple[Ranked, ...], Meta(min_length=1, max_length=MAX_TOP)]
    coarse: Ranked | None
    known: bool | None
    known_score: Finite | None
    named: NamedClass
    evidence: Array | None
    overlay: bytes | None
    tensors: Annotated[dict[str, Array], Meta(max_length=len(TENSORS))]
    evidence_box: tuple[Finite, Finite, Finite, Finite] | None = None
    marks: Marks = ()

    @classmethod
    def of(cls, number: int, seconds: float, answer: Answer, marks: Sequence[Mark] = ()) -> Self:
        """The frame that carries ``answer``, and when its stages began."""
        return cls(
            number,
            seconds,
            answer.model,
            answer.top,
            answer.coarse,
            answer.known,
            answer.known_score,
            answer.named,
            None if answer.evidence is None else Array.of(answer.evidence),
            answer.overlay,
            {name: Array.of(values) for name, values in answer.tensors.items()},
            answer.evidence_box,
            tuple(marks),
        )

    @property
    def answer(self) -> Answer:
        """The answer that the frame carries."""
        return Answer(
            self.model,
            self.top,
            self.coarse,
            self.known,
            self.known_score,
            self.named,
            None if self.evidence is None else self.evidence.values(),
            self.overlay,
            {name: array.values() for name, array in self.tensors.items()},
            self.evidence_box,
        )


class Refused(Frame, tag=7):
    """From the engine: the image gets no answer, but a Refusal of this code and text."""

    id: Number
    code: str
    detail: str
    retry_after: Finite  # seconds
    seconds: Finite = 0.0  # that a thread spent on the image
    marks: Marks = ()

    @classmethod
    def of(cls, number: int, refusal: Refusal, marks: Sequence[Mark] = ()) -> Self:
        """The frame that carries ``refusal``, and when the stages before it began."""
        retry_after = refusal.retry_after if isinstance(refusal, Overloaded) else 0.0
        detail = str(refusal)[:MAX_DETAIL]
        stages = tuple(marks)
        return cls(number, refusal.code, detail, retry_after, refusal.seconds, stages)

    @property
    def refusal(self) -> Refusal:
        """The refusal that the frame carries, of its own class; NotReady for an unknown code."""
        kind = _refusals(Refusal).get(self.code, NotReady)
        if issubclass(kind, Overloaded):
            return kind(self.detail, math.ceil(self.retry_after))  # HTTP wants whole seconds
        refusal = kind(self.detail)
        if self.seconds:
            refusal.seconds = self.seconds
        return refusal


class Described(Frame, tag=8):
    """From the engine, to a new connection and after a change: what the models are."""

    catalogue: Catalogue


class RateLimitRequest(Frame, tag=9):
    """To the engine: count a request of this address, with this API key."""

    id: Number
    address: str
    key: str | None


class RateLimitReply(Frame, tag=10):
    """From the engine: the client's limits after the request was counted."""

    id: Number
    states: Annotated[tuple[RateLimitState, ...], Meta(max_length=MAX_STATES)]

    def __post_init__(self) -> None:
        if not all(math.isfinite(each.reset) and math.isfinite(each.wait) for each in self.states):
            raise ValueError("a rate limit's time is not finite")


def _refusals(root: type[Refusal]) -> dict[str, type[Refusal]]:
    """The subclasses of ``root`` that have a code of their own, by that code."""
    found = {root.code: root} if "code" in vars(root) and root is not Refusal else {}
    for kind in root.__subclasses__():
        found |= _refusals(kind)
    return found
