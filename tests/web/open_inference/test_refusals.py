"""``/v2``: bad requests are errors of the protocol, never a 5xx."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from conformance.answers import LEAKS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greengrocer.serving.admission import Admission, AdmissionLimits
from support.engines import CountingEngine
from support.live import FailingEngine, engine_of, live, make_service
from support.make_images import encoded, jpeg, photo
from support.png import RGB, SIGNATURE, header
from support.tensors import INFER, asking, binary, image, infer, packed
from support.wire import exchange, head

GREY = jpeg(5)
HUGE = 2**62


def pixels(shape: list[Any], data: Any = None, datatype: str = "UINT8") -> dict[str, Any]:
    """The input ``pixels`` in JSON; without data, as many zeros as the shape has."""
    count = 12 if data is None else 0
    return {"name": "pixels", "datatype": datatype, "shape": shape, "data": data or [0] * count}


def chunked(request: bytes) -> bytes:
    """A request that does not say how long its body is."""
    start, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in start.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([*lines, b"", b"%x" % len(body), body, b"0", b"", b""])


def output(name: str, **parameters: object) -> dict[str, Any]:
    return asking(image(GREY), outputs=[{"name": name, "parameters": parameters}])


BAD: dict[str, tuple[int, bytes]] = {
    "no JSON": (400, infer(b"")),
    "half a JSON": (400, infer(b'{"inputs": [')),
    "another kind of JSON": (400, infer([])),
    "deep JSON": (400, infer(b'{"inputs": ' + b"[" * 100_000)),
    "no UTF-8": (400, infer(b'{"id": "\xff"}')),
    "no inputs": (400, infer({})),
    "empty inputs": (400, infer(asking())),
    "two inputs": (400, infer(asking(image(GREY), pixels([1, 2, 2, 3])))),
    "the same twice": (400, infer(asking(image(GREY), image(GREY)))),
    "another input": (400, infer(asking({**image(GREY), "name": "images"}))),
    "an id that is a number": (400, infer(asking(image(GREY), id=7))),
    "no data": (400, infer(asking({**image(GREY), "data": None}))),
    "another datatype": (400, infer(asking({**image(GREY), "datatype": "UINT8"}))),
    "another shape": (400, infer(asking({**image(GREY), "shape": [2]}))),
    "a shape of nothing": (400, infer(asking({**image(), "shape": [0]}))),
    "no shape": (400, infer(asking({**image(GREY), "shape": []}))),
    "a nested shape": (400, infer(asking({**image(GREY), "shape": [1, 1]}))),
    "a negative shape": (400, infer(asking({**image(GREY), "shape": [-1]}))),
    "a fraction": (400, infer(asking({**image(GREY), "shape": [1.0]}))),
    "too many": (413, infer(asking(image(*[b"x"] * 1001)))),
    "a huge number": (413, infer(asking({**image(GREY), "shape": [HUGE]}))),
    "a number over 64 bits": (400, infer(asking({**image(GREY), "shape": [HUGE**3]}))),
    "a number of 4,300 digits": (400, infer(b'{"id": %b}' % (b"9" * 4300))),
    "no base64": (400, infer(asking({**image(GREY), "data": ["a pear!"]}))),
    "no text": (400, infer(asking({**image(GREY), "data": [7]}))),
    "beyond ASCII": (400, infer(asking({**image(GREY), "data": ["é"]}))),
    "an empty image": (400, infer(asking(image(b"")))),
    "no image": (400, infer(asking(image(b"a pear, I swear")))),
    "a bad one of two": (400, infer(asking(image(GREY, GREY[:300])))),
    "a GIF": (415, infer(asking(image(encoded(photo(1), "GIF"))))),
    "a bomb": (413, infer(asking(image(SIGNATURE + header((30_000, 30_000), 8, RGB))))),
    "pixels of another datatype": (400, infer(asking(pixels([1, 2, 2, 3], datatype="FP32")))),
    "pixels of three sides": (400, infer(asking(pixels([2, 2, 3])))),
    "pixels of four channels": (400, infer(asking(pixels([1, 1, 3, 4])))),
    "pixels of no height": (400, infer(asking(pixels([1, 0, 4, 3], [0])))),
    "too few pixels": (400, infer(asking(pixels([1, 2, 3, 3])))),
    "huge sides": (413, infer(asking(pixels([1, HUGE, HUGE, 3])))),
    "pixels over a byte": (400, infer(asking(pixels([1, 1, 1, 3], [0, 0, 256])))),
    "pixels below 0": (400, infer(asking(pixels([1, 1, 1, 3], [0, 0, -1])))),
    "fractions of pixels": (400, infer(asking(pixels([1, 1, 1, 3], [0, 0, 0.5])))),
    "booleans as pixels": (400, infer(asking(pixels([1, 1, 1, 3], [0, 1, True])))),
    "NaN": (400, infer(asking(pixels([1, 1, 1, 3], [0, 0, float("nan")])))),
    "ragged": (400, infer(asking(pixels([1, 1, 2, 3], [[[[0, 0, 0], 0, 0, 0]]])))),
    "texts as pixels": (400, infer(asking(pixels([1, 1, 1, 3], [["abc"]])))),
    "very many lists": (413, infer(asking(pixels([1, 1, 1, 3], [[]] * 200_001)))),
    "very many values": (413, infer(asking(pixels([1, 1, 1, 3], [0] * 1_000_009)))),
    "very many keys": (413, infer(b'{"a": 0' + b',"b":0' * 200_001 + b"}")),
    "many long numbers": (413, infer(b'{"x": [0%b]}' % ((b"," + b"9" * 24) * 500_000))),
    "many long texts": (413, infer(b'{"x": [0%b]}' % (b',"%b"' % (b"a" * 999) * 10_001))),
    "a long text behind many lists": (
        413,
        infer(b'{"x": [0%b, "%b"]}' % (b",[]" * 10_001, b"a" * 10_000_000)),
    ),
    "a text among lists": (400, infer(asking(pixels([1, 1, 1, 3], [[0], "ab"])))),
    "five outputs": (400, infer(asking(image(GREY), outputs=[{"name": "coarse"}] * 5))),
    "much evidence": (
        413,
        infer(asking(image(*[GREY] * 65), outputs=[{"name": "evidence"}])),
    ),
    "too little behind": (400, infer(asking(binary("image", "BYTES", [1], 9)), b"12345678")),
    "too much behind": (400, infer(asking(binary("image", "BYTES", [1], 5)), packed(b"xy"))),
    "no length of the last": (400, infer(asking(binary("image", "BYTES", [2], 5)), packed(b"x"))),
    "cut in a length": (400, infer(asking(binary("image", "BYTES", [1], 3)), b"123")),
    "cut in an element": (400, infer(asking(binary("image", "BYTES", [1], 6)), packed(b"abc")[:6])),
    "one element too many": (
        400,
        infer(asking(binary("image", "BYTES", [1], 12)), packed(b"ab", b"cd")),
    ),
    "a negative size": (400, infer(asking(binary("image", "BYTES", [1], -1)), b"")),
    "both ways": (400, infer(asking({**binary("image", "BYTES", [1], 0), "data": ["eA=="]}), b"")),
    "a length beyond the body": (
        400,
        infer(asking(image(GREY)), None, "Inference-Header-Content-Length: 99999"),
    ),
    "a length that is none": (
        400,
        infer(asking(image(GREY)), None, "Inference-Header-Content-Length: -5"),
    ),
    "an unknown output": (400, infer(output("logits"))),
    "an output twice": (
        400,
        infer(asking(image(GREY), outputs=[{"name": "coarse"}, {"name": "coarse"}])),
    ),
    "the best of the evidence": (400, infer(output("evidence", classification=1))),
    "the best none": (400, infer(output("coarse", classification=0))),
    "binary by word": (400, infer(output("coarse", binary_data="yes"))),
    "another model": (404, infer(asking(image(GREY)), path="/v2/models/other/infer")),
    "another version": (404, infer(asking(image(GREY)), path="/v2/models/greys/versions/2/infer")),
    "no such route": (404, head("GET", "/v2/repository/models")),
    "the index by GET": (405, head("GET", "/v2/repository/index")),
    "loading by HTTP": (404, head("POST", "/v2/repository/models/greys/load")),
    "no GET": (405, head("GET", INFER)),
    "no POST": (405, head("POST", "/v2", "Content-Length: 0")),
    "a deadline that is none": (422, infer(asking(image(GREY)), None, "X-Deadline-Ms: soon")),
    "compressed": (415, infer(asking(image(GREY)), None, "Content-Encoding: gzip")),
    "much JSON": (413, head("POST", INFER, "Content-Length: 30000000")),
    "much of all": (
        413,
        head("POST", INFER, "Content-Length: 300000000", "Inference-Header-Content-Length: 100"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_an_error_of_the_protocol(client: httpx.Client, name: str) -> None:
    status, request = BAD[name]
    answer = exchange(str(client.base_url), request)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    told = json.loads(answer.body)
    assert [*told] == ["error"]
    assert 3 < len(told["error"]) < 400
    assert not [leak for leak in LEAKS if leak in answer.body.decode()], told


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/models/other", 'model "other"'),
        ("/models/greys/versions/2", 'model "greys" with the version "2"'),
    ],
)
def test_the_model_that_is_not_there_is_named(client: httpx.Client, path: str, asked: str) -> None:
    told = client.get(f"/v2{path}").json()
    assert told == {"error": f"there is no {asked}: this server has greys 1"}


def test_a_tensor_of_another_datatype_or_shape_is_described(client: httpx.Client) -> None:
    refused = {
        'UINT8 and the shape [N, H, W, 3], not of "FP32" and [1, 2, 2, 3]': pixels(
            [1, 2, 2, 3], datatype="FP32"
        ),
        'BYTES and the shape [N], not of "BYTES" and [1, 1]': {**image(GREY), "shape": [1, 1]},
    }
    for said, tensor in refused.items():
        answer = exchange(str(client.base_url), infer(asking(tensor)))
        (error,) = json.loads(answer.body).values()
        assert error == f"{tensor['name']} must be of the datatype {said}"


def test_the_refused_one_of_many_images_is_named(client: httpx.Client) -> None:
    answer = exchange(str(client.base_url), infer(asking(image(GREY, GREY, b"a pear"))))
    assert json.loads(answer.body)["error"].startswith("image 2: ")


def test_the_headers_of_all_images_are_read_before_one_is_classified(fake_bundle: Path) -> None:
    engine = engine_of(CountingEngine, fake_bundle)
    with live(make_service(fake_bundle, engine)) as running:
        calls = engine.calls  # of the start
        answer = exchange(running.url, infer(asking(image(*[GREY] * 20, b"a pear", GREY))))
        assert json.loads(answer.body)["error"].startswith("image 20: ")
        assert engine.calls == calls


@pytest.mark.parametrize("form", ["JSON", "binary data"])
def test_what_exceeds_the_share_of_a_model_is_too_large_not_refused_for_now(
    fake_bundle: Path, form: str
) -> None:
    def request(count: int) -> bytes:
        if form == "JSON":
            return infer(asking(image(*[GREY] * count)))
        files = packed(*[GREY] * count)
        return infer(asking(binary("image", "BYTES", [count], len(files))), files)

    one, ten = request(1), request(10)
    share = len(one) + 100
    limits = AdmissionLimits(2 * share, 3.0, {"greys": 0.5})
    service = replace(make_service(fake_bundle), admission=Admission(limits, 1, 0.01))
    with live(service) as running:
        for large in (ten, chunked(ten)):
            answer = exchange(running.url, large)
            assert answer.status == 413, answer.body
            assert f" {share} " in json.loads(answer.body)["error"]
        for small in (one, chunked(one)):
            assert exchange(running.url, small).status == 200


def test_a_failure_shows_no_internals(fake_bundle: Path) -> None:
    with live(make_service(fake_bundle, engine_of(FailingEngine, fake_bundle))) as running:
        for count in (1, 3):
            answer = exchange(running.url, infer(asking(image(*[GREY] * count))))
            assert answer.status == 500
            assert FailingEngine.SECRET not in answer.body.decode()
            assert [*json.loads(answer.body)] == ["error"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
INPUTS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["image", "pixels", "x"]) | JSON,
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=5) | JSON,
        "datatype": st.sampled_from(["BYTES", "UINT8", "FP32"]) | JSON,
    },
    optional={
        "data": st.lists(st.integers(0, 255), max_size=30) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON,
    },
)
OUTPUTS = st.fixed_dictionaries(
    {"name": st.sampled_from(["probabilities", "coarse", "evidence", "x"]) | JSON},
    optional={
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data": JSON, "classification": st.integers()}
        )
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(INPUTS, max_size=2) | JSON},
    optional={"outputs": st.lists(OUTPUTS, max_size=3) | JSON, "id": JSON, "parameters": JSON},
)


@given(REQUESTS, st.none() | st.binary(max_size=40))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_request_causes_a_server_error(
    client: httpx.Client, request_: Any, tail: bytes | None
) -> None:
    answer = exchange(str(client.base_url), infer(request_, tail))
    assert answer.status in (200, 400, 413)
    assert ("error" in json.loads(answer.body)) if answer.status != 200 else answer.body
