"""``ModelInfer``: a bad request ends with a status that tells what was wrong, and no internals."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from conformance.answers import LEAKS
from grpc import StatusCode
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greengrocer.answer_json import KINDS
from greengrocer.rpc.messages.open_inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
)
from greengrocer.rpc.statuses import OF_STATUS, status_of
from support.live import FailingEngine, engine_of, make_service
from support.make_images import encoded, jpeg, photo
from support.png import RGB, SIGNATURE, header
from support.rpc import InputTensor, OutputTensor, RpcClient, files, live_rpc, pixels
from support.tensors import packed

GREY = jpeg(5)
HUGE = 2**62


def image(data: bytes, **other: Any) -> ModelInferRequest:
    """The input of one file, with its raw ``data``; ``other`` fields replace its own."""
    fields: dict[str, Any] = {"name": "image", "datatype": "BYTES", "shape": [1]} | other
    given = InputTensor(**fields)
    return ModelInferRequest(model_name="greys", inputs=[given], raw_input_contents=[data])


def typed(datatype: str = "UINT8", **contents: Any) -> ModelInferRequest:
    """Pixels in the contents of a datatype."""
    values = InferTensorContents(**contents)
    shape = [1, 1, 1, 3]
    given = InputTensor(name="pixels", datatype=datatype, shape=shape, contents=values)
    return ModelInferRequest(model_name="greys", inputs=[given])


def wanting(name: str, **parameter: Any) -> ModelInferRequest:
    best = {"classification": InferParameter(**parameter)} if parameter else {}
    return files(GREY, outputs=[OutputTensor(name=name, parameters=best)])


def merged(*requests: ModelInferRequest) -> ModelInferRequest:
    """One request with the inputs, outputs and raw contents of all."""
    whole = ModelInferRequest()
    for request in requests:
        whole.MergeFrom(request)
    return whole


ONE = packed(GREY)
INVALID, NOT_FOUND = StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND
BAD: dict[str, tuple[StatusCode, str, ModelInferRequest | bytes]] = {
    "no message": (INVALID, "malformed-upload", b"\xff\xff\xff\xff"),
    "half a message": (INVALID, "malformed-upload", files(GREY).SerializeToString()[:-1]),
    "a file": (INVALID, "malformed-upload", GREY),
    "a group": (INVALID, "malformed-upload", b"\x0b\x0c"),
    "an endless number": (INVALID, "malformed-upload", b"\x08" + b"\xff" * 99),
    "no UTF-8": (INVALID, "malformed-upload", b"\x1a\x01\xff"),
    "nothing": (INVALID, "malformed-upload", b""),
    "no inputs": (INVALID, "malformed-upload", ModelInferRequest(model_name="greys")),
    "two inputs": (
        INVALID,
        "malformed-upload",
        merged(files(GREY), pixels([1, 1, 1, 3], bytes(3))),
    ),
    "another input": (INVALID, "malformed-upload", image(ONE, name="images")),
    "no data": (INVALID, "malformed-upload", files(raw=False, model="greys")),
    "no contents": (
        INVALID,
        "malformed-upload",
        ModelInferRequest(
            model_name="greys", inputs=[InputTensor(name="image", datatype="BYTES", shape=[1])]
        ),
    ),
    "both ways": (INVALID, "malformed-upload", merged(typed(uint_contents=[1] * 3), image(ONE))),
    "raw and contents": (
        INVALID,
        "malformed-upload",
        image(ONE, contents=InferTensorContents(bytes_contents=[GREY])),
    ),
    "two raw contents": (
        INVALID,
        "malformed-upload",
        files(GREY, raw_input_contents=[ONE, ONE]),
    ),
    "another datatype": (INVALID, "malformed-upload", image(ONE, datatype="UINT8")),
    "no datatype": (INVALID, "malformed-upload", image(ONE, datatype="")),
    "another shape": (INVALID, "malformed-upload", image(ONE, shape=[2])),
    "a shape of nothing": (INVALID, "malformed-upload", image(b"", shape=[0])),
    "no shape": (INVALID, "malformed-upload", image(ONE, shape=[])),
    "a nested shape": (INVALID, "malformed-upload", image(ONE, shape=[1, 1])),
    "a negative shape": (INVALID, "malformed-upload", image(ONE, shape=[-1])),
    "a million sides": (INVALID, "malformed-upload", image(ONE, shape=[1] * 1_000_000)),
    "too many images": (INVALID, "too-many-bytes", image(ONE, shape=[1001])),
    "a huge number": (INVALID, "too-many-bytes", image(ONE, shape=[HUGE])),
    "an empty image": (INVALID, "empty-image", files(b"")),
    "no image": (INVALID, "unreadable-image", files(b"a pear, I swear")),
    "a bad one of two": (INVALID, "unreadable-image", files(GREY, GREY[:300])),
    "a GIF": (INVALID, "unsupported-format", files(encoded(photo(1), "GIF"))),
    "a bomb": (
        INVALID,
        "too-many-pixels",
        files(SIGNATURE + header((30_000, 30_000), 8, RGB)),
    ),
    "an image that is too long": (INVALID, "too-many-bytes", files(GREY.ljust(20_000_001))),
    "no length of the last": (INVALID, "malformed-upload", image(packed(b"x"), shape=[2])),
    "cut in a length": (INVALID, "malformed-upload", image(b"123")),
    "cut in an element": (INVALID, "malformed-upload", image(packed(b"abc")[:6])),
    "an element too long": (INVALID, "malformed-upload", image(b"\xff\xff\xff\xffxx")),
    "an element too many": (INVALID, "malformed-upload", image(packed(b"ab", b"cd"))),
    "many elements of nothing": (INVALID, "malformed-upload", image(bytes(16_000_000))),
    "pixels of another datatype": (INVALID, "malformed-upload", typed("FP32", fp32_contents=[0])),
    "pixels of three sides": (INVALID, "malformed-upload", pixels([2, 2, 3], bytes(12))),
    "pixels of four channels": (INVALID, "malformed-upload", pixels([1, 1, 3, 4], bytes(12))),
    "pixels of no height": (INVALID, "malformed-upload", pixels([1, 0, 4, 3], b"")),
    "too few pixels": (INVALID, "malformed-upload", pixels([1, 2, 3, 3], bytes(12))),
    "huge sides": (INVALID, "too-many-bytes", pixels([1, HUGE, HUGE, 3], bytes(12))),
    "sides that wrap around": (INVALID, "too-many-bytes", pixels([1, 2**32, 2**32, 3], bytes(12))),
    "pixels over a byte": (INVALID, "malformed-upload", typed(uint_contents=[0, 0, 256])),
    "pixels in another field": (INVALID, "malformed-upload", typed(int_contents=[0] * 3)),
    "very many pixels": (INVALID, "too-many-bytes", typed(uint_contents=[0] * 1_000_001)),
    "very long contents": (INVALID, "too-many-bytes", typed(fp64_contents=[0] * 300_000)),
    "very many outputs": (
        INVALID,
        "too-many-bytes",
        files(GREY, outputs=[OutputTensor()] * 10_001),
    ),
    "very many files": (
        INVALID,
        "too-many-bytes",
        files(*[b""] * 10_001, raw=False),
    ),
    "five outputs": (
        INVALID,
        "malformed-upload",
        files(GREY, outputs=[OutputTensor(name="x")] * 5),
    ),
    "an unknown output": (INVALID, "malformed-upload", wanting("logits")),
    "an output twice": (
        INVALID,
        "malformed-upload",
        files(GREY, outputs=[OutputTensor(name="coarse")] * 2),
    ),
    "the best of the evidence": (INVALID, "malformed-upload", wanting("evidence", int64_param=1)),
    "the best none": (INVALID, "malformed-upload", wanting("coarse", int64_param=0)),
    "the best by word": (INVALID, "malformed-upload", wanting("coarse", string_param="2")),
    "much evidence": (
        INVALID,
        "too-many-bytes",
        files(*[GREY] * 65, outputs=[OutputTensor(name="evidence")]),
    ),
    "a long id": (INVALID, "malformed-upload", files(GREY, id="7" * 257)),
    "another model": (NOT_FOUND, "unknown-model", files(GREY, model="other")),
    "no model": (NOT_FOUND, "unknown-model", files(GREY, model="")),
    "a path as a model": (NOT_FOUND, "unknown-model", files(GREY, model="greys/versions/1")),
    "another version": (NOT_FOUND, "unknown-model", files(GREY, model_version="2")),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_ends_with_its_status(rpc: RpcClient, name: str) -> None:
    status, code, request = BAD[name]
    end = rpc.refused(request)
    assert (end.code, end.trailing["problem-code"]) == (status, code), end
    assert 3 < len(end.detail) < 400
    assert not [leak for leak in LEAKS if leak in end.detail], end
    assert end.trailing["x-request-id"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "other"}, 'there is no model "other": this server has greys 1'),
        ({"model": ""}, 'there is no model "": this server has greys 1'),
        (
            {"model_version": "2"},
            'there is no model "greys" with the version "2": this server has greys 1',
        ),
    ],
)
def test_the_model_that_is_not_there_is_named(
    rpc: RpcClient, asked: dict[str, Any], said: str
) -> None:
    assert rpc.refused(files(GREY, **asked)).detail == said


def test_a_long_name_with_control_characters_is_shown_in_part(rpc: RpcClient) -> None:
    detail = rpc.refused(files(GREY, model="\x1b[2J\n" + "long" * 100_000)).detail
    assert detail.isprintable()
    assert len(detail) < 200


def test_a_tensor_of_another_datatype_or_shape_is_described(rpc: RpcClient) -> None:
    assert rpc.refused(image(ONE, datatype="UINT8", shape=[1, 640, 480])).detail == (
        'image must be of the datatype BYTES and the shape [N], not of "UINT8" and [1, 640, 480]'
    )
    assert rpc.refused(pixels([1, 1, 3, 4], bytes(12))).detail == (
        "pixels must be of the datatype UINT8 and the shape [N, H, W, 3], "
        'not of "UINT8" and [1, 1, 3, 4]'
    )
    assert rpc.refused(pixels([1, 2, 3, 3], bytes(12))).detail == (
        "pixels has 12 values, not the 18 of its shape"
    )


def test_the_refused_one_of_many_images_is_named(rpc: RpcClient) -> None:
    assert rpc.refused(files(GREY, GREY, b"a pear")).detail.startswith("image 2: ")


def test_a_deadline_that_is_none_is_refused(rpc: RpcClient) -> None:
    end = rpc.refused(files(GREY), [("x-deadline-ms", "soon")])
    assert (end.code, end.trailing["problem-code"]) == (INVALID, "parameter-out-of-range")


def test_a_compressed_message_is_refused(rpc: RpcClient) -> None:
    """One of 20 MB could be 20 GB."""
    ask: Any = rpc.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    with pytest.raises(grpc.RpcError) as refused:
        ask(files(GREY).SerializeToString(), compression=grpc.Compression.Gzip)
    assert refused.value.code() is StatusCode.UNIMPLEMENTED


def test_a_longer_message_than_the_largest_image_is_refused(rpc: RpcClient) -> None:
    end = rpc.refused(files(*[GREY.ljust(11_000_000)] * 2))
    assert end.code is StatusCode.RESOURCE_EXHAUSTED
    assert rpc.infer(files(GREY))


@pytest.mark.parametrize("method", ["ModelStreamInfer", "RepositoryModelLoad", "Nothing"])
def test_other_methods_are_unknown(rpc: RpcClient, method: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        rpc.call(method, b"", ModelInferRequest)
    assert refused.value.code() is StatusCode.UNIMPLEMENTED


def test_a_failure_shows_no_internals(fake_bundle: Path) -> None:
    service = make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))
    with live_rpc(service) as running, running.rpc() as client:
        for count in (1, 3):
            end = client.refused(files(*[GREY] * count))
            assert (end.code, end.trailing["problem-code"]) == (
                StatusCode.INTERNAL,
                "internal-error",
            )
            assert FailingEngine.SECRET not in end.detail


def test_every_problem_has_a_status() -> None:
    assert {kind.status for kind in KINDS.values()} | {500} == {*OF_STATUS}
    overloaded = [status_of(429, code) for code in ("overloaded", "rate-limited")]
    assert overloaded == [StatusCode.UNAVAILABLE, StatusCode.RESOURCE_EXHAUSTED]


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 300))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_message_causes_a_failure(rpc: RpcClient, noise: bytes, start: int, stop: int) -> None:
    good = files(GREY, id="7", outputs=[OutputTensor(name="coarse")]).SerializeToString()
    call = rpc.begin(good[:start] + noise + good[stop:])
    assert call.code() in (StatusCode.OK, INVALID, NOT_FOUND)
