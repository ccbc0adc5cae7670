"""The Open Inference Protocol: every request gets outputs, or a refusal in its format."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from conformance.fuzz import Request, requests
from conformance.jpegs import with_size
from conformance.limits import BATCH, BODY, JSON_BODY, JSON_LISTS, JSON_VALUES, TENSORS_BODY
from conformance.photos import jpeg, photo
from conformance.processes import Processes
from conformance.tensors import (
    BINARY,
    FILE,
    LENGTH,
    PIXELS,
    answered,
    asking,
    behind,
    image,
    infer,
    model,
    packed,
    pixels,
    refused,
)
from conformance.watches import health_stays_quick, little_work
from conformance.wire import exchange, head, post

EXAMPLES = 1000
HUGE = 2**62
TWO = packed(FILE, FILE)
SIDE = 1600  # pixels each way
NESTED: tuple[object, ...] = ([], {}, {"": 0})
TAKEN = {200, 504}  # all images have one deadline, for which many may be too much work


@pytest.fixture(scope="module")
def path(base_url: str) -> str:
    """The path of the model."""
    return model(base_url)


def values(url: str, request: bytes) -> list[Any]:
    """The outputs of a request, which must have them in JSON."""
    return [output["data"] for output in answered(exchange(url, request))["outputs"]]


def test_an_image_gets_the_same_answer_in_every_encoding(base_url: str, path: str) -> None:
    in_json = values(base_url, infer(path, asking(image(FILE, FILE))))
    assert values(base_url, infer(path, asking(behind(image(FILE, FILE), len(TWO))), TWO)) == (
        in_json
    )
    flat = values(base_url, infer(path, asking(pixels())))
    size = len(PIXELS)
    assert values(base_url, infer(path, asking(behind(pixels(), size)), PIXELS)) == flat


BAD: dict[str, tuple[int, bytes, bytes | None]] = {
    "nothing": (400, b"", None),
    "no JSON": (400, FILE, None),
    "half a JSON": (400, asking(image(FILE))[:-1], None),
    "two JSONs": (400, asking(image(FILE)) * 2, None),
    "a list": (400, b"[]", None),
    "a number": (400, b"1" * 100_000, None),
    "UTF-16": (400, asking(image(FILE)).decode().encode("utf-16"), None),
    "deep lists": (400, b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
    "deep objects": (400, b'{"inputs": ' + b'{"a":' * 90_000 + b"1" + b"}" * 90_001, None),
    "deep data": (400, asking(pixels(data=0)).replace(b": 0", b": " + b"[" * 9999), None),
    "no inputs": (400, asking(), None),
    "inputs of nothing": (400, asking(None), None),
    "two inputs": (400, asking(image(FILE), pixels()), None),
    "an unknown input": (400, asking(image(FILE, name="input_1")), None),
    "an unknown output": (400, asking(image(FILE), outputs=[{"name": "logits"}]), None),
    "FP32": (400, asking(pixels(datatype="FP32")), None),
    "no such datatype": (400, asking(pixels(datatype="UINT9")), None),
    "no sides": (400, asking(pixels(shape=[])), None),
    "a side of nothing": (400, asking(pixels(shape=[2, 0, 2, 3])), None),
    "a negative side": (400, asking(pixels(shape=[2, -2, -2, 3])), None),
    "half a side": (400, asking(pixels(shape=[2, 2.5, 2, 3])), None),
    "a thousand sides": (400, asking(pixels(shape=[1] * 1000)), None),
    "sides as texts": (400, asking(pixels(shape=["2", "2", "2", "3"])), None),
    "another size": (400, asking(pixels(shape=[2, 2, 3, 3])), None),
    "huge sides": (413, asking(pixels(shape=[1, HUGE, HUGE, 3])), None),
    "sides that wrap around": (413, asking(pixels(shape=[1, 2**32, 2**32, 3])), None),
    "huge sides behind": (413, asking(behind(pixels(shape=[1, HUGE, 1, 3]), 24)), PIXELS),
    "very many images": (413, asking(image(FILE, shape=[HUGE])), None),
    "a side of 300 digits": (400, asking(image(FILE, shape=[10**300])), None),
    "NaN": (400, asking(pixels(data=[float("nan")] * 24)), None),
    "infinity": (400, asking(pixels(data=[float("inf")] * 24)), None),
    "NaN as a size": (400, asking(pixels(shape=[2, float("nan"), 2, 3])), None),
    "above a byte": (400, asking(pixels(data=[256] * 24)), None),
    "below a byte": (400, asking(pixels(data=[-1] * 24)), None),
    "1e999": (400, asking(pixels(data=[0] * 24)).replace(b"[0,", b"[1e999,"), None),
    "ragged": (400, asking(pixels(data=[[0] * 23, 0])), None),
    "no base64": (400, asking(image(data=["?"], shape=[1])), None),
    "an empty image": (400, asking(image(b"")), None),
    "a bomb": (413, asking(image(with_size(FILE, 60000, 60000))), None),
    "a bomb of two": (413, asking(image(FILE, with_size(FILE, 60000, 60000))), None),
    "too little behind": (400, asking(behind(image(FILE, FILE), len(TWO))), TWO[:-1]),
    "too much behind": (400, asking(behind(image(FILE, FILE), len(TWO))), TWO + b"\0"),
    "a size too small": (400, asking(behind(image(FILE, FILE), len(TWO) - 1)), TWO),
    "a negative size": (400, asking(behind(pixels(), -24)), PIXELS),
    "a huge size": (400, asking(behind(pixels(), HUGE)), PIXELS),
    "half a size": (400, asking(pixels(parameters={"binary_data_size": 23.5})), PIXELS),
    "nothing behind": (400, asking(behind(pixels(), 24)), b""),
    "nobody's bytes": (400, asking(pixels()), PIXELS),
    "both ways": (400, asking(pixels(parameters={"binary_data_size": 24})), PIXELS),
    "an element too long": (400, asking(behind(image(FILE), 6)), b"\xff\xff\xff\xffxx"),
    "an element too many": (400, asking(behind(image(FILE), len(TWO))), TWO),
    "half a length": (400, asking(behind(image(FILE), 3)), b"\1\0\0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_as_the_protocol_says(base_url: str, path: str, name: str) -> None:
    status, text, tail = BAD[name]
    with health_stays_quick(base_url):
        assert refused(exchange(base_url, infer(path, text, tail))) == status


def nested(depth: int) -> list[Any]:
    """A list in a list, and so on."""
    return [nested(depth - 1)] if depth else []


MANY, MANY_OBJECTS = 900_000, 190_000  # no more than the limits
ELEMENTS = 30_000_000  # of nothing, four bytes each
HEAVY: dict[str, Callable[[], tuple[int, bytes, bytes | None]]] = {
    "elements of nothing behind": lambda: (
        400,
        asking(behind(image(FILE), 4 * ELEMENTS)),
        bytes(4 * ELEMENTS),
    ),
    "elements of nothing": lambda: (400, asking(image(data=[""] * MANY, shape=[1])), None),
    "numbers": lambda: (400, asking(pixels(data=[0] * MANY)), None),
    "numbers of 4,000 digits": lambda: (
        400,
        asking(pixels(data=0)).replace(b": 0", b": [%b]" % b",".join([b"9" * 4000] * 5000)),
        None,
    ),
    "numbers of 20 digits": lambda: (
        413,
        asking(pixels(data=0)).replace(b": 0", b": [%b]" % b",".join([b"9" * 20] * 900_000)),
        None,
    ),
    "a text behind many lists": lambda: (
        413,
        asking(pixels(data=[*[[]] * 20_000, "a" * BODY])),
        None,
    ),
    "lists of five": lambda: (400, asking(pixels(data=[[7] * 5] * MANY_OBJECTS)), None),
    "a text in lists": lambda: (400, asking(pixels(data=[nested(99), "a" * BODY])), None),
    "sides": lambda: (400, asking(pixels(shape=[1] * MANY)), None),
    "sides that are none": lambda: (400, asking(pixels(shape=[""] * MANY)), None),
    "inputs that are none": lambda: (400, asking(*[{}] * MANY_OBJECTS), None),
    "outputs that are none": lambda: (400, asking(pixels(), outputs=[{}] * MANY_OBJECTS), None),
    "a million lists": lambda: (413, asking(pixels(data=[[]] * 1_000_000)), None),
    "a million keys": lambda: (413, b"{" + b'"a": 0,' * 1_000_000 + b'"a": 0}', None),
    "a million inputs": lambda: (413, asking(*[{}] * 1_000_000), None),
    "eight million numbers": lambda: (413, asking(pixels(data=[0] * 8_000_000)), None),
}


@pytest.mark.parametrize("name", HEAVY)
def test_json_that_is_slow_to_parse_is_refused_at_once(
    base_url: str, path: str, service: Processes, name: str
) -> None:
    status, text, tail = HEAVY[name]()
    request = infer(path, text, tail)
    with health_stays_quick(base_url), little_work(service):
        assert refused(exchange(base_url, request)) == status


@pytest.mark.parametrize(
    ("length", "status"),
    [
        *[(length, 400) for length in ("-1", "1e1", "0x10", "", "\xb2", "9" * 400, str(HUGE))],
        *[(length, 400) for length in ("0", "1")],
    ],
)
def test_a_wrong_length_is_refused(base_url: str, path: str, length: str, status: int) -> None:
    text = asking(behind(pixels(), len(PIXELS)))
    request = post(text + PIXELS, f"{LENGTH}: {length}", kind=BINARY, target=f"{path}/infer")
    assert refused(exchange(base_url, request)) == status
    short = post(text, f"{LENGTH}: {len(text) + 1}", kind=BINARY, target=f"{path}/infer")
    assert refused(exchange(base_url, short)) == 400


@pytest.mark.parametrize(
    ("one", "counted", "limit"),
    [
        *[(one, (b"[", b"{", b":"), JSON_LISTS) for one in NESTED],
        (0, (b",",), JSON_VALUES),
    ],
    ids=["lists", "objects", "keys", "values"],
)
def test_json_may_reach_its_limits(
    base_url: str, path: str, one: object, counted: tuple[bytes, ...], limit: int
) -> None:
    def filled(count: int) -> bytes:
        return asking(image(FILE), more=[one] * count)

    first, second = (sum(map(filled(count).count, counted)) for count in (1, 2))
    most = 1 + (limit - first) // (second - first)
    taken, past = (infer(path, filled(count)) for count in (most, most + 1))
    with health_stays_quick(base_url):
        assert answered(exchange(base_url, taken))
        assert refused(exchange(base_url, past)) == 413


def test_a_request_may_have_as_many_images_as_the_limit(base_url: str, path: str) -> None:
    for count, statuses in ((BATCH, TAKEN), (BATCH + 1, {413})):
        octets = bytes(3 * count)
        text = asking(behind(pixels(shape=[count, 1, 1, 3]), len(octets)))
        with health_stays_quick(base_url):
            assert exchange(base_url, infer(path, text, octets)).status in statuses


@pytest.mark.wire  # a proxy has bounds of its own, and takes its time
def test_tensors_may_be_as_long_as_the_limit(base_url: str, path: str) -> None:
    """Each process that takes them has its share of what may be in flight, and says how much."""

    def past(length: int) -> str:
        sent = (f"{LENGTH}: 100", f"Content-Length: {length + 1}")
        answer = exchange(base_url, head("POST", f"{path}/infer", *sent))
        assert refused(answer) == 413
        return str(json.loads(answer.body)["error"])

    limit = int(past(TENSORS_BODY).split()[-3])
    assert TENSORS_BODY % limit == 0
    assert f"at most {limit} are accepted" in past(limit)
    count = (limit - 1000) // (SIDE * SIDE * 3)
    octets = bytes(count * SIDE * SIDE * 3)
    text = asking(behind(pixels(shape=[count, SIDE, SIDE, 3]), len(octets)))
    request = infer(path, text.ljust(limit - len(octets)), octets)
    with health_stays_quick(base_url):
        assert exchange(base_url, request).status in TAKEN


def test_the_configuration_is_the_metadata_in_tritons_format(base_url: str, path: str) -> None:
    types = {"BYTES": "TYPE_STRING", "UINT8": "TYPE_UINT8", "FP32": "TYPE_FP32"}
    described = json.loads(exchange(base_url, head("GET", path)).body)
    for version in ("", f"/versions/{described['versions'][0]}"):
        config = json.loads(exchange(base_url, head("GET", f"{path}{version}/config")).body)
        assert (config["name"], config["max_batch_size"]) == (described["name"], 0)
        for ours, tritons in (("inputs", "input"), ("outputs", "output")):
            wanted = [(t["name"], types[t["datatype"]], t["shape"]) for t in described[ours]]
            assert [(t["name"], t["data_type"], t["dims"]) for t in config[tritons]] == wanted


def test_a_request_may_be_as_long_as_the_limit(base_url: str, path: str) -> None:
    text = asking(image(FILE))
    assert answered(exchange(base_url, infer(path, text.ljust(JSON_BODY))))
    assert refused(exchange(base_url, infer(path, text.ljust(JSON_BODY + 1)))) == 413


def test_an_image_may_be_as_long_as_the_limit(base_url: str, path: str) -> None:
    for size, status in ((BODY, 200), (BODY + 1, 413)):
        file = packed(FILE.ljust(size, b"\0"))
        request = infer(path, asking(behind(image(FILE), len(file))), file)
        assert exchange(base_url, request).status == status


@pytest.mark.parametrize("name", ["other", "", "..", "%2e%2e%2f", "%00", "%ff", "a" * 5000, "a b%"])
@pytest.mark.parametrize("rest", ["", "/ready", "/infer", "/versions/1", "/versions/../infer"])
def test_an_unknown_model_is_refused(base_url: str, name: str, rest: str) -> None:
    target = f"/v2/models/{name}{rest}".replace(" ", "%20")
    for request in (head("GET", target), post(asking(image(FILE)), target=target)):
        assert refused(exchange(base_url, request)) in (404, 405)


def test_fuzzed_requests_are_answered_or_refused(
    request: pytest.FixtureRequest, base_url: str, path: str
) -> None:
    """The sound ones among them are answered as before, too."""
    statuses = Counter[int]()

    @seed(request.config.getoption("--seed"))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(requests(), st.sampled_from(["application/json", BINARY, "image/jpeg", ""]))
    def one(fuzzed: Request, kind: str) -> None:
        length = [] if fuzzed.length is None else [f"{LENGTH}: {fuzzed.length}"]
        sent = post(fuzzed.text + fuzzed.tail, *length, kind=kind, target=f"{path}/infer")
        answer = exchange(base_url, sent)
        status = 200 if answer.status == 200 and answered(answer) else refused(answer)
        statuses[status] += 1

    sound = infer(path, asking(image(jpeg(photo(1)))))
    before = values(base_url, sound)
    with health_stays_quick(base_url):
        one()
    assert values(base_url, sound) == before
    assert statuses[200] > EXAMPLES // 100, statuses  # or it was refused too early to find anything
    assert statuses[400] > EXAMPLES // 10, statuses
