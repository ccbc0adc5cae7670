import contextlib
import math
import tracemalloc
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from greengrocer import errors
from greengrocer.answer_json import KINDS as REFUSALS
from greengrocer.context import Context
from greengrocer.engines.engine import Inference
from greengrocer.ranking import (
    DEFAULT_OPTIONS,
    Answer,
    AnswerOptions,
    Level,
    ModelId,
    ModelLabels,
    NamedClass,
    Ranked,
)
from greengrocer.serving.catalogue import Absence, Catalogue, ServedModel
from greengrocer.serving.frames.frames import (
    Answered,
    Array,
    Begun,
    Cancel,
    Classify,
    Described,
    Failed,
    Frame,
    Ping,
    PixelArray,
    RateLimitReply,
    RateLimitRequest,
    Refused,
)
from greengrocer.serving.frames.stream import (
    CLASSIFY_BYTES,
    HEAD,
    LIMITS,
    TAG_OF,
    FrameStream,
    Malformed,
    encode,
)
from greengrocer.serving.rate_limits import RateLimitState

MAX_IMAGE_BYTES = 4096
numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=40)
reals = st.floats(allow_nan=False, allow_infinity=False)
ranked = st.builds(Ranked, texts, reals)
models = st.builds(ModelId, texts, texts)
names = st.lists(texts, max_size=5).map(tuple)
floats = arrays(np.float32, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
answers = st.builds(
    Answer,
    model=models,
    top=st.lists(ranked, min_size=1, max_size=5).map(tuple),
    coarse=st.none() | ranked,
    known=st.booleans(),
    known_score=reals,
    named=st.builds(NamedClass, st.sampled_from(Level), st.none() | texts),
    evidence=st.none() | floats,
    overlay=st.none() | st.binary(max_size=40),
    tensors=st.dictionaries(texts, floats, max_size=4),
)
tensors = st.sets(st.sampled_from(Inference._fields)).map(
    lambda wanted: tuple(name for name in Inference._fields if name in wanted)
)
pixels = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
finite = st.floats(allow_nan=False, allow_infinity=False)
labels = st.builds(
    ModelLabels,
    *(models, names, st.none() | names, reals, reals, reals, st.booleans()),
    st.dictionaries(texts, reals, max_size=3),
)
catalogues = st.builds(
    Catalogue,
    st.lists(st.builds(ServedModel, texts, labels), min_size=1, max_size=3).map(tuple),
    texts,
    st.lists(st.tuples(texts, st.sampled_from(Absence)), max_size=3).map(tuple),
    st.dictionaries(
        texts, st.lists(st.tuples(texts, st.integers(0, 100)), max_size=3).map(tuple), max_size=2
    ),
)
states = st.builds(RateLimitState, texts, st.integers(0, 2**32 - 1), finite, finite)
frames: st.SearchStrategy[Frame] = st.one_of(
    *(st.builds(kind, numbers) for kind in (Cancel, Begun, Failed)),
    st.builds(Ping),
    st.builds(
        Classify,
        numbers,
        texts,
        finite | st.just(math.inf),
        st.booleans(),
        st.booleans(),
        st.integers(1, 2**16 - 1),
        st.booleans(),
        st.booleans(),
        tensors,
        st.binary(max_size=MAX_IMAGE_BYTES) | pixels.map(PixelArray.of),
        st.none() | texts,
    ),
    st.builds(Answered.of, numbers, reals, answers),
    st.builds(Refused, numbers, texts, texts, finite, finite),
    st.builds(RateLimitRequest, numbers, texts, st.none() | texts),
    st.builds(RateLimitReply, numbers, st.lists(states, max_size=3).map(tuple)),
    st.builds(Described, catalogues),
)


def stream() -> FrameStream:
    """One that takes all kinds."""
    return FrameStream(tuple(LIMITS), MAX_IMAGE_BYTES)


def framed(kind: type[Frame], *fields: object) -> bytes:
    """A frame of ``kind`` with these fields in MessagePack, whatever they are."""
    body = msgspec.msgpack.encode([TAG_OF[kind], *fields])
    return HEAD.pack(TAG_OF[kind], len(body)) + body


def read(content: bytes | bytearray) -> list[Frame]:
    return list(stream().feed(content))


@given(st.lists(frames, max_size=4), st.data())
@settings(deadline=None)  # the machine may be busy
def test_frames_round_trip_in_pieces_of_any_size(sent: list[Frame], data: st.DataObject) -> None:
    content = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    reader = stream()
    ends = [0, *cuts, len(content)]
    came = [frame for start, end in pairwise(ends) for frame in reader.feed(content[start:end])]
    assert came == sent
    assert list(map(type, came)) == list(map(type, sent))


@given(answers)
@settings(deadline=None)  # the machine may be busy
def test_an_answer_round_trips(answer: Answer) -> None:
    (frame,) = read(encode(Answered.of(1, 0.5, answer)))
    assert isinstance(frame, Answered)
    again = frame.answer
    assert again == answer
    assert again.evidence is None or again.evidence.dtype == np.float32
    np.testing.assert_equal(again.evidence, answer.evidence)
    np.testing.assert_equal(dict(again.tensors), dict(answer.tensors))


@pytest.mark.parametrize("step", [1, 2])
def test_pixels_round_trip(step: int) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::step]
    (frame,) = read(
        encode(Classify.of(1, pixels, AnswerOptions(7, tensors=("coarse",)), Context()))
    )
    assert isinstance(frame, Classify)
    assert frame.options == AnswerOptions(7, tensors=("coarse",))
    assert frame.seconds == math.inf
    assert isinstance(frame.picture, np.ndarray)
    assert frame.picture.dtype == np.uint8
    np.testing.assert_array_equal(frame.picture, pixels)


@given(frames, st.data())
@settings(max_examples=200, deadline=None)
def test_damaged_bytes_are_malformed_or_another_frame(frame: Frame, data: st.DataObject) -> None:
    content = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        read(content)


@given(st.sampled_from(list(TAG_OF.values())), st.binary(max_size=300))
@settings(deadline=None)  # the machine may be busy
def test_random_bytes_are_malformed_or_incomplete(tag: int, noise: bytes) -> None:
    with contextlib.suppress(Malformed):
        read(noise)
    with contextlib.suppress(Malformed):
        read(HEAD.pack(tag, len(noise)) + noise)


@given(frames)
@settings(deadline=None)  # the machine may be busy
def test_a_truncated_or_too_long_body_is_malformed(frame: Frame) -> None:
    content = encode(frame)
    tag, _ = HEAD.unpack_from(content)
    for other in (content[HEAD.size : -1], content[HEAD.size :] + b"\0"):
        with pytest.raises(Malformed):
            read(HEAD.pack(tag, len(other)) + other)


def test_a_frame_over_the_limit_of_its_kind_is_refused_from_its_head() -> None:
    for kind, limit in LIMITS.items():
        most = MAX_IMAGE_BYTES + CLASSIFY_BYTES if kind is Classify else limit
        assert most <= 64 << 20
        assert not read(HEAD.pack(TAG_OF[kind], most))
        with pytest.raises(Malformed, match="not allowed"):
            read(HEAD.pack(TAG_OF[kind], most + 1))
    for tag in {0, 255} - set(TAG_OF.values()):
        with pytest.raises(Malformed, match="not allowed"):
            read(HEAD.pack(tag, 0))


@pytest.mark.parametrize("field", [b"\xdd", b"\xdf", b"\xdb", b"\xc6"])
@pytest.mark.parametrize("kind", list(LIMITS))
def test_a_claimed_length_allocates_no_memory(kind: type[Frame], field: bytes) -> None:
    claim = field + b"\xff" * 4  # an array, map, text or binary of 4 billion
    bodies = [claim, *(bytes([0x9F, TAG_OF[kind], *[1] * count]) + claim for count in range(5))]
    fields = encode(Classify.of(1, b"", DEFAULT_OPTIONS, Context())) if kind is Classify else b""
    bodies.append(bytes(fields[HEAD.size : -3]) + claim)
    tracemalloc.start()
    try:
        for body in bodies:
            with pytest.raises(Malformed):
                read(HEAD.pack(TAG_OF[kind], len(body)) + body)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_malformed() -> None:
    nested = b"\x91" * 4000
    for kind in (Classify, Answered, Described):
        body = bytes([0x92, TAG_OF[kind]]) + nested
        with pytest.raises(Malformed):
            read(HEAD.pack(TAG_OF[kind], len(body)) + body)
    # in a field that is skipped
    body = bytes([0x92, TAG_OF[Described], 0x81, 0xA1]) + b"x" + nested
    with pytest.raises(Malformed):
        read(HEAD.pack(TAG_OF[Described], len(body)) + body)


QUESTION = (1, "id", 1.0, False, False, 5, False, False, ())
ANSWER = (1, 0.5, ("greys", "1"), [("grey-0", 0.5)], None, True, 0.5, ("fine", "grey-0"))


def test_the_answer_that_the_hostile_cases_change_is_valid() -> None:
    assert len(read(framed(Answered, *ANSWER, [[2], bytes(8)], None, {}))) == 1


@pytest.mark.parametrize(
    "sides",
    [(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), (2**32 - 1,) * 4, (2,), (1,) * 5, (-1,), (-1, -1)],
)
def test_evidence_of_an_impossible_shape_is_malformed(sides: tuple[int, ...]) -> None:
    array = [sides, bytes(4)]
    fields: tuple[object, ...]
    for fields in ((array, None, {}), (None, None, {"evidence": array})):
        with pytest.raises(Malformed, match=r"array|shape|length|int"):
            read(framed(Answered, *ANSWER, *fields))
    with pytest.raises(Malformed):
        read(framed(Answered, *ANSWER, [sides, b""], None, {}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (2, ("greys",)),
        (2, ("greys", 1)),
        (3, []),
        (3, [("grey-0", "0.5")]),
        (3, [("grey-0",)]),
        (5, 1),
        (7, ("a level of no kind", "grey-0")),
    ],
)
def test_an_answer_with_fields_of_wrong_types_is_malformed(place: int, value: object) -> None:
    fields: list[object] = [*ANSWER, None, None, {}]
    fields[place] = value
    with pytest.raises(Malformed):
        read(framed(Answered, *fields))


def test_an_answer_with_unknown_or_too_many_tensors_is_malformed() -> None:
    tensors = {str(number): [[0], b""] for number in range(len(Inference._fields) + 1)}
    with pytest.raises(Malformed, match="length"):
        read(framed(Answered, *ANSWER, None, None, tensors))


@pytest.mark.parametrize(
    "shape",
    [
        (0, 3, 3),
        (3, 0, 3),
        (0, 0, 3),
        (1, 1, 3),
        (2, 2, 3),
        (2**32 - 1, 2**32 - 1, 3),
        (1, 3, 2),
        (6,),
        (),
        (1, 1, 2, 3),
    ],
)
def test_pixels_of_another_size_than_declared_are_malformed(shape: tuple[int, ...]) -> None:
    assert len(read(framed(Classify, *QUESTION, [(1, 2, 3), b"123456"]))) == 1
    for content in (b"123456", b""):
        with pytest.raises(Malformed, match=r"array|shape"):
            read(framed(Classify, *QUESTION, [shape, content]))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, -1),
        (0, True),
        (1, b"id"),
        (2, math.nan),
        (2, None),
        (3, 1),
        (5, 0),
        (5, -1),
        (5, 2**16),
        (5, 5.0),
        (8, ["__class__"]),
        (8, ["evidence"] * 5),
        (9, "text"),
        (9, None),
        (10, 5),
        (10, "x" * 202),
    ],
)
def test_a_request_with_an_invalid_top_deadline_or_tensor_is_malformed(
    place: int, value: object
) -> None:
    fields: list[object] = [*QUESTION, b"", None]
    assert len(read(framed(Classify, *fields))) == 1
    fields[place] = value
    with pytest.raises(Malformed):
        read(framed(Classify, *fields))


@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf])
def test_non_finite_times_are_malformed(time: float) -> None:
    for fields in ((1, "overloaded", "no", time, 0.0), (1, "overloaded", "no", 0.0, time)):
        with pytest.raises(Malformed):
            read(framed(Refused, *fields))
    for times in ((time, 0.0), (0.0, time)):
        with pytest.raises(Malformed, match="finite"):
            read(framed(RateLimitReply, 1, [("address", 1, *times)]))


def test_a_tag_that_differs_from_the_head_is_malformed() -> None:
    body = encode(Cancel(7))[HEAD.size :]
    with pytest.raises(Malformed):
        read(HEAD.pack(TAG_OF[Begun], len(body)) + body)


def test_an_unexpected_kind_is_malformed() -> None:
    reader = FrameStream((Cancel,))
    assert list(reader.feed(encode(Cancel(7)))) == [Cancel(7)]
    with pytest.raises(Malformed):
        list(reader.feed(encode(Refused(7, "overloaded", "no", 1))))


def test_an_invalid_frame_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="tensor"):
        Classify.of(1, b"", AnswerOptions(tensors=("other",)), Context())
    with pytest.raises(ValueError, match="pixels"):
        PixelArray.of(np.zeros((0, 3, 3)))
    with pytest.raises(ValueError, match="bytes"):
        Array((2,), b"")


def test_every_refusal_round_trips() -> None:
    for kind in REFUSALS:
        refusal = kind("full", 7) if issubclass(kind, errors.Overloaded) else kind("why")
        if issubclass(kind, errors.ImageRefused):
            refusal.seconds = 1.5
        again = Refused.of(3, refusal).refusal
        assert type(again) is kind
        assert str(again) == str(refusal)
        assert vars(again) == vars(refusal)


def test_an_unknown_code_becomes_not_ready() -> None:
    refusal = Refused(1, "of-another-version", "why", 0).refusal
    assert type(refusal) is errors.NotReady
    assert str(refusal) == "why"


def test_retry_after_is_rounded_up_to_whole_seconds() -> None:
    refusal = Refused(1, "overloaded", "why", 2.5).refusal
    assert isinstance(refusal, errors.Overloaded)
    assert str(refusal.retry_after) == "3"
