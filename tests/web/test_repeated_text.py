"""Answers repeat a client's text escaped, and no library's messages."""

import json
from urllib.parse import quote

import httpx
import pytest

from support.make_images import jpeg
from support.tensors import asking, image, infer
from support.wire import exchange, head, post

PICTURE = jpeg(100)
NOT_JSON = (
    "the request is not JSON in UTF-8, nests too deeply, or has NaN, Infinity, a number above "
    "1e308 or half of a surrogate pair"
)
HOSTILE = "it's \"\\\x00\x1b[31m\u202e\u00e4"
SHOWN = json.dumps(HOSTILE)
ECHOES = {
    "top": post(PICTURE, target=f"/predict?top={quote(HOSTILE)}"),
    "explain": post(PICTURE, target=f"/predict?explain={quote(HOSTILE)}"),
    "level": head("GET", f"/class-names?level={quote(HOSTILE)}"),
    "input": infer(asking({**image(PICTURE), "name": HOSTILE})),
    "output": infer(asking(image(PICTURE), outputs=[{"name": HOSTILE}])),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_clients_text_is_repeated_without_control_characters(
    client: httpx.Client, name: str
) -> None:
    body = json.loads(exchange(str(client.base_url), ECHOES[name]).body)
    detail = body.get("error") or body["detail"]
    assert SHOWN in detail
    assert detail.isascii()
    assert detail.isprintable()


WRONG = {
    NOT_JSON: b'{"inputs": [',
    "the request must be an object": b"[]",
    "inputs is missing": b"{}",
    "inputs must be a list": b'{"inputs": {}}',
    "inputs is empty: send one image or more": b'{"inputs": []}',
    "inputs.0.shape has too many elements": b'{"inputs": [{"name": "x", "shape": [1,1,1,1,1]}]}',
    "inputs.0.name is missing": b'{"inputs": [{}]}',
    "inputs.0.shape.0 must be a whole number of at most 64 bits": (
        b'{"inputs": [{"name": "image", "shape": [1.5]}]}'
    ),
    "inputs.0.shape.0 is below 1: send one image or more": (
        b'{"inputs": [{"name": "image", "shape": [0]}]}'
    ),
    "inputs.0.shape.1 is too small a number": b'{"inputs": [{"name": "pixels", "shape": [1, 0]}]}',
    "id must be a string": b'{"id": 1, "inputs": []}',
}


@pytest.mark.parametrize("value", [b'"\xff"', b'"\\ud800"', b"NaN", b"-Infinity", b"9" * 400])
def test_what_json_must_not_have_is_named(client: httpx.Client, value: bytes) -> None:
    answer = exchange(str(client.base_url), infer(b'{"id": ' + value + b"}"))
    assert (answer.status, json.loads(answer.body)) == (400, {"error": NOT_JSON})


@pytest.mark.parametrize("said", WRONG)
def test_errors_in_json_have_our_own_messages(client: httpx.Client, said: str) -> None:
    answer = exchange(str(client.base_url), infer(WRONG[said]))
    assert answer.status == 400
    assert json.loads(answer.body)["error"] == said
