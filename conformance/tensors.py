"""Requests of the Open Inference Protocol, version 2, with its binary extension."""

import base64
import json
import struct
from typing import Any

from conformance.answers import LEAKS
from conformance.photos import jpeg, plain
from conformance.wire import Answer, exchange, post

LENGTH = "Inference-Header-Content-Length"
BINARY = "application/octet-stream"
FILE = jpeg(plain(100))
PIXELS = bytes(range(0, 240, 10))  # two images of 2 x 2 pixels


def model(url: str) -> str:
    """The path of the service's model, which has its name."""
    name = json.loads(exchange(url, post(FILE)).body)["model"]["name"]
    return f"/v2/models/{name}"


def image(*files: bytes, **other: object) -> dict[str, Any]:
    """The input of files, in JSON; ``other`` fields replace its own."""
    data = [base64.b64encode(file).decode() for file in files]
    return {"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data} | other


def pixels(**other: object) -> dict[str, Any]:
    """The input of two small images, in JSON."""
    shape = [2, 2, 2, 3]
    return {"name": "pixels", "shape": shape, "datatype": "UINT8", "data": list(PIXELS)} | other


def behind(given: dict[str, Any], size: int) -> dict[str, Any]:
    """The same input, whose ``size`` bytes follow the JSON."""
    rest = {name: value for name, value in given.items() if name != "data"}
    return rest | {"parameters": {"binary_data_size": size}}


def packed(*files: bytes) -> bytes:
    """Files as they follow the JSON."""
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


def asking(*inputs: object, **other: object) -> bytes:
    """A request's JSON, or what Python takes for it: NaN is none."""
    return json.dumps({"inputs": inputs} | other).encode()


def infer(path: str, text: bytes, tail: bytes | None = None, *headers: str) -> bytes:
    """A whole request; with a ``tail``, even an empty one, its header says where that begins."""
    if tail is None:
        return post(text, *headers, kind="application/json", target=f"{path}/infer")
    length = f"{LENGTH}: {len(text)}"
    return post(text + tail, length, *headers, kind=BINARY, target=f"{path}/infer")


def answered(answer: Answer) -> dict[str, Any]:
    """The JSON of an answer that must have outputs."""
    assert answer.status == 200, answer
    length = int(answer.headers.get(LENGTH, len(answer.body)))
    body: dict[str, Any] = json.loads(answer.body[:length])
    assert body["outputs"]
    return body


def refused(answer: Answer) -> int:
    """The status of an answer that must be a refusal in the protocol's words."""
    assert 400 <= answer.status < 500, answer
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.body)
    assert [*body] == ["error"]
    assert 3 < len(body["error"]) < 500
    assert not [leak for leak in LEAKS if leak in body["error"]], body
    return answer.status
