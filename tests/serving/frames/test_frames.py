import contextlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from greengrocer.engines.engine import Inference
from greengrocer.ranking import ASK, Answer, Ask, Labels, Level, ModelId, Named, Ranked
from greengrocer.serving.frames.fields import Malformed, Writer
from greengrocer.serving.frames.frames import (
    BARE,
    HEAD,
    KIND_OF,
    KINDS,
    Answered,
    Cancel,
    Classify,
    Described,
    Frame,
    Ping,
    RateLimitReply,
    RateLimitRequest,
    Refused,
    decode,
    encode,
)
from greengrocer.serving.frames.stream import CLASSIFY_BYTES, FrameStream
from greengrocer.serving.rate_limits import RateLimitState

MAX_IMAGE_BYTES = 4096
numbers = st.integers(0, 2**64 - 1)
texts = st.text(max_size=40)
reals = st.floats(allow_nan=False)
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
    named=st.builds(Named, st.sampled_from(Level), st.none() | texts),
    evidence=st.none() | floats,
    overlay=st.none() | st.binary(max_size=40),
    tensors=st.dictionaries(texts, floats, max_size=4),
)
tensors = st.sets(st.sampled_from(Inference._fields)).map(
    lambda wanted: tuple(name for name in Inference._fields if name in wanted)
)
asks = st.builds(Ask, st.integers(1, 2**16 - 1), st.booleans(), st.booleans(), tensors)
pixels = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)).flatmap(
    lambda shape: arrays(np.uint8, shape)
)
finite = st.floats(allow_nan=False, allow_infinity=False)
states = st.builds(RateLimitState, texts, st.integers(0, 2**32 - 1), finite, finite)
frames: st.SearchStrategy[Frame] = st.one_of(
    *(st.builds(kind, numbers) for kind in BARE),
    st.builds(
        Classify,
        numbers,
        asks,
        reals,
        st.booleans(),
        texts,
        st.binary(max_size=MAX_IMAGE_BYTES) | pixels,
    ),
    st.builds(Answered, numbers, reals, answers),
    st.builds(Refused, numbers, texts, texts, finite, finite),
    st.builds(Ping, numbers),
    st.builds(RateLimitRequest, numbers, texts, st.none() | texts),
    st.builds(RateLimitReply, numbers, st.lists(states, max_size=3).map(tuple)),
    st.builds(
        Described,
        st.builds(Labels, models, names, st.none() | names, reals, reals, reals),
        numbers,
    ),
)


def stream() -> FrameStream:
    """One that takes all kinds."""
    return FrameStream(KINDS, MAX_IMAGE_BYTES)


@given(st.lists(frames, max_size=4), st.data())
def test_frames_come_out_as_they_went_in_however_they_were_cut(
    sent: list[Frame], data: st.DataObject
) -> None:
    content = b"".join(map(encode, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    reader = stream()
    ends = [*cuts, len(content)]
    came = [
        frame
        for start, end in zip([0, *cuts], ends, strict=True)
        for frame in reader.feed(content[start:end])
    ]
    for before, after in zip(sent, came, strict=True):
        assert type(before) is type(after)
        if isinstance(before, Classify) and isinstance(after, Classify):
            np.testing.assert_equal(after.picture, before.picture)
            assert after._replace(picture=b"") == before._replace(picture=b"")
            continue
        assert after == before
        if isinstance(before, Answered) and isinstance(after, Answered):
            assert after.answer.evidence is None or after.answer.evidence.dtype == np.float32
            np.testing.assert_equal(after.answer.evidence, before.answer.evidence)
            np.testing.assert_equal(after.answer.tensors, before.answer.tensors)


@given(frames, st.data())
@settings(max_examples=200)
def test_damaged_bytes_are_malformed_or_another_frame_and_never_anything_else(
    frame: Frame, data: st.DataObject
) -> None:
    content = bytearray(encode(frame))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Malformed):
        list(stream().feed(bytes(content)))


@given(st.binary(max_size=300))
def test_noise_is_malformed_or_waits_for_more(noise: bytes) -> None:
    with contextlib.suppress(Malformed):
        list(stream().feed(noise))


@given(frames)
def test_a_body_that_is_cut_short_is_malformed_or_shorter_by_its_last_bytes(frame: Frame) -> None:
    content = encode(frame)
    kind, number, length = HEAD.unpack_from(content)
    if not length:
        return
    short = HEAD.pack(kind, number, length - 1) + content[HEAD.size : -1]
    if isinstance(frame, Classify) and isinstance(frame.picture, bytes) and frame.picture:
        assert list(stream().feed(short)) == [frame._replace(picture=frame.picture[:-1])]
    elif isinstance(frame, Answered) and frame.answer.overlay:
        cut = replace(frame.answer, overlay=frame.answer.overlay[:-1])
        assert list(stream().feed(short)) == [replace(frame, answer=cut)]
    else:
        with pytest.raises(Malformed):
            list(stream().feed(short))


def test_a_frame_over_its_kind_s_limit_is_refused_by_its_head_alone() -> None:
    for kind in KINDS:
        most = MAX_IMAGE_BYTES + CLASSIFY_BYTES if kind is Classify else 64 << 20
        with pytest.raises(Malformed):
            list(stream().feed(HEAD.pack(KIND_OF[kind], 1, most + 1)))


@pytest.mark.parametrize(
    "sides", [(0, 2**32 - 1, 2**32 - 1, 2**32 - 1), (2**32 - 1,) * 4, (2,), (1,) * 5]
)
def test_evidence_of_a_shape_that_cannot_be_is_malformed(sides: tuple[int, ...]) -> None:
    body = Writer()
    for text in ("greys", "1"):
        body.text(text)
    body.put("?dB", 1, 0.5, 0)
    for _ in range(2):
        body.optional_text(None)
    body.put("dH", 0.0, 1)
    body.text("grey-0")
    body.put("d?B" + "I" * len(sides), 0.5, 1, len(sides), *sides)
    with pytest.raises(Malformed, match=r"array|early"):
        decode(Answered, 1, struct.pack(">d", 0.1) + body.after(b""))


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (1, 1), (2, 2), (2**32 - 1,) * 2])
def test_pixels_that_are_not_of_their_size_are_malformed(size: tuple[int, int]) -> None:
    frame = encode(Classify(1, ASK, 1.0, suspect=False, request_id="", picture=b"123456"))
    body = frame[HEAD.size :].replace(bytes(8) + b"1", struct.pack(">II", *size) + b"1")
    with pytest.raises(Malformed, match="size"):
        decode(Classify, 1, body)


def test_a_kind_that_is_not_expected_is_malformed() -> None:
    reader = FrameStream((Cancel,))
    assert list(reader.feed(encode(Cancel(7)))) == [Cancel(7)]
    with pytest.raises(Malformed):
        list(reader.feed(encode(Refused(7, "overloaded", "no", 1))))


def test_what_no_frame_can_hold_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no frame"):
        encode(Cancel(-1))
    with pytest.raises(ValueError, match="no frame"):
        encode(Classify(1, Ask(2**16), 1.0, suspect=False, request_id="", picture=b""))
