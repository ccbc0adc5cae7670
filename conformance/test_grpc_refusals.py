"""gRPC: a bad request gets a status that says what is wrong, takes little, and harms nothing."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from grpc import StatusCode
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from conformance.answers import LEAKS
from conformance.grpc_client import (
    Client,
    Request,
    asking,
    files,
    pixels,
)
from conformance.jpegs import with_size
from conformance.limits import BATCH, BODY
from conformance.photos import encoded, photo
from conformance.processes import Processes
from conformance.tensors import FILE, PIXELS, infer, packed
from conformance.tensors import asking as asking_http
from conformance.tensors import image as http_image
from conformance.tensors import refused as refused_http
from conformance.watches import health_stays_quick, little_memory, little_work
from conformance.wire import exchange

EXAMPLES = 500
HUGE = 2**62
NOT_FOUND, INVALID = StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT


def bomb(count: int = 1) -> bytes:
    """The last of so many images is small, and says that it is very large."""
    return packed(*[FILE] * (count - 1), with_size(FILE, 60_000, 60_000))


def one(**other: Any) -> Callable[[str], Request]:
    """A request with an image, whose input has other fields."""
    return lambda name: files(name, FILE, **other)


def raw(*data: bytes, **other: Any) -> Callable[[str], Request]:
    """The same, with other values."""
    given = {"name": "image", "datatype": "BYTES", "shape": [1]} | other
    return lambda name: asking(name, given, *data)


def of_pixels(data: bytes = PIXELS, **other: Any) -> Callable[[str], Request]:
    """A request with pixels, whose input has other fields."""
    return lambda name: pixels(name, data, **other)


def typed(contents: Request, **other: Any) -> Callable[[str], Request]:
    """A request whose values are in the fields of a datatype."""
    given = {"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1, 3], **other}
    return lambda name: asking(name, given | {"contents": contents})


def wanting(*wanted: Request) -> Callable[[str], Request]:
    """A request for these outputs."""
    return lambda name: files(name, FILE) | {"outputs": wanted}


def whole(message: bytes) -> Callable[[str], bytes]:
    """A message that is no request."""
    return lambda _: message


MALFORMED, LONG = "malformed-upload", "too-many-bytes"
BAD: dict[str, tuple[str, Callable[[str], Request | bytes]]] = {
    "nothing": (MALFORMED, whole(b"")),
    "no message": (MALFORMED, whole(b"\xff" * 9)),
    "an image": (MALFORMED, whole(FILE)),
    "a group": (MALFORMED, whole(b"\x0b\x0c")),
    "many groups": (MALFORMED, whole(b"\x0b" * 100_000)),
    "an endless number": (MALFORMED, whole(b"\x08" + b"\xff" * 99)),
    "a field past the end": (MALFORMED, whole(b"\x3a\xff\xff\xff\xff\x7f")),
    "no UTF-8": (MALFORMED, whole(b"\x1a\x01\xff")),
    "no inputs": (MALFORMED, lambda name: {"model_name": name}),
    "two inputs": (MALFORMED, lambda name: files(name, FILE) | {"inputs": [{}, {}]}),
    "an unknown input": (MALFORMED, one(name="input_1")),
    "no datatype": (MALFORMED, one(datatype="")),
    "another datatype": (MALFORMED, one(datatype="UINT8")),
    "FP32": (MALFORMED, of_pixels(datatype="FP32")),
    "no sides": (MALFORMED, one(shape=[])),
    "a side of nothing": (MALFORMED, of_pixels(shape=[2, 0, 2, 3])),
    "negative sides": (MALFORMED, of_pixels(shape=[2, -2, -2, 3])),
    "a thousand sides": (MALFORMED, of_pixels(shape=[1] * 1000)),
    "a million sides": (MALFORMED, of_pixels(shape=[1] * 1_000_000)),
    "another size": (MALFORMED, of_pixels(shape=[2, 2, 3, 3])),
    "four channels": (MALFORMED, of_pixels(shape=[1, 2, 3, 4])),
    "huge sides": (LONG, of_pixels(shape=[1, HUGE, HUGE, 3])),
    "sides that wrap around": (LONG, of_pixels(shape=[1, 2**32, 2**32, 3])),
    "very many images": (LONG, one(shape=[HUGE])),
    "an image too many": (LONG, of_pixels(bytes(3 * BATCH + 3), shape=[BATCH + 1, 1, 1, 3])),
    "no values": (MALFORMED, raw()),
    "values twice": (MALFORMED, raw(packed(FILE), packed(FILE))),
    "raw and typed": (MALFORMED, one(contents={"bytes_contents": [FILE]})),
    "half a length": (MALFORMED, raw(b"\1\0\0")),
    "half an element": (MALFORMED, raw(packed(FILE)[:-1])),
    "an element too long": (MALFORMED, raw(b"\xff\xff\xff\xffxx")),
    "an element too many": (MALFORMED, raw(packed(FILE, FILE))),
    "elements of nothing": (MALFORMED, raw(bytes(BODY))),
    "too few pixels": (MALFORMED, of_pixels(PIXELS[:-1])),
    "above a byte": (MALFORMED, typed({"uint_contents": [0, 0, 256]})),
    "in another field": (MALFORMED, typed({"int_contents": [0] * 3})),
    "very many numbers": (LONG, typed({"uint_contents": [0] * 1_000_001})),
    "very long numbers": (LONG, typed({"fp64_contents": [0] * 300_000})),
    "very many elements": (LONG, typed({"bytes_contents": [b""] * 10_001}, name="image")),
    "very many outputs": (LONG, wanting(*[{}] * 10_001)),
    "an unknown output": (MALFORMED, wanting({"name": "logits"})),
    "an output twice": (MALFORMED, wanting({"name": "probabilities"}, {"name": "probabilities"})),
    "the best none": (
        MALFORMED,
        wanting({"name": "probabilities", "parameters": {"classification": {"int64_param": 0}}}),
    ),
    "a long id": (MALFORMED, lambda name: files(name, FILE) | {"id": "7" * 257}),
    "an empty image": ("empty-image", raw(packed(b""))),
    "no image": ("unreadable-image", raw(packed(b"a pear, I swear"))),
    "half an image": ("unreadable-image", raw(packed(FILE[: len(FILE) // 2]))),
    "a GIF": ("unsupported-format", raw(packed(encoded(photo(1), "GIF")))),
    "a bomb": ("too-many-pixels", raw(bomb())),
    "a bomb of two": ("too-many-pixels", raw(bomb(2), shape=[2])),
    "an image that is too long": (LONG, raw(packed(FILE.ljust(BODY + 1)))),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_request_is_refused(client: Client, base_url: str, name: str, bad: str) -> None:
    code, build = BAD[bad]
    asked = build(name)
    with health_stays_quick(base_url):
        end = client.refused(asked)
    assert (end.status, end.code) == (INVALID, code), end
    assert 3 < len(end.detail) < 500
    assert not [leak for leak in LEAKS if leak in end.detail], end
    assert end.trailing["x-request-id"]


@pytest.mark.parametrize("content", [b"", b"a pear, I swear", FILE[:300]])
def test_a_refusal_has_the_words_of_http(
    client: Client, base_url: str, name: str, content: bytes
) -> None:
    answer = exchange(base_url, infer(f"/v2/models/{name}", asking_http(http_image(FILE, content))))
    assert refused_http(answer) < 500
    end = client.refused(files(name, FILE, content))
    assert end.detail == json.loads(answer.body)["error"]


def test_bad_requests_take_little(client: Client, name: str, service: Processes) -> None:
    """Each of them twice, one after another."""
    requests = [build(name) for _, build in BAD.values()]
    for asked in requests:
        client.refused(asked)
    with little_memory(service):
        for asked in requests:
            with little_work(service):
                client.refused(asked)


def test_fuzzed_messages_are_answered_or_refused(
    request: pytest.FixtureRequest, client: Client, base_url: str, name: str
) -> None:
    """The sound ones among them are answered as before, too."""
    ends = Counter[StatusCode]()
    asked = files(name, FILE) | {"id": "7", "outputs": [{"name": "probabilities"}]}
    sound = client.message("ModelInfer", asked).SerializeToString()
    most = len(sound) - len(FILE) + 64  # bytes: all that is not the image, and its beginning

    @seed(request.config.getoption("--seed"))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.binary(max_size=100), st.integers(0, most), st.integers(0, most))
    def one(noise: bytes, start: int, stop: int) -> None:
        code = client.begin(sound[:start] + noise + sound[stop:]).code()
        assert code in (StatusCode.OK, INVALID, NOT_FOUND)
        ends[code] += 1

    split = [("x-split-key", "till-7")]
    before = client.infer(sound, split)
    with health_stays_quick(base_url):
        one()
    assert client.infer(sound, split) == before
    assert ends[StatusCode.OK] > EXAMPLES // 100, ends
    assert ends[INVALID] > EXAMPLES // 10, ends
