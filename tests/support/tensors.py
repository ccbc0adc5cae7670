"""Requests of the Open Inference Protocol."""

import base64
import json
import struct
from typing import Any

from support.wire import head

INFER = "/v2/models/greys/infer"


def image(*files: bytes) -> dict[str, Any]:
    """The input ``image`` in JSON."""
    data = [base64.b64encode(file).decode() for file in files]
    return {"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": data}


def packed(*files: bytes) -> bytes:
    """Elements of BYTES, as the binary extension has them."""
    return b"".join(struct.pack("<I", len(file)) + file for file in files)


def binary(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    """An input whose values follow the JSON."""
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters}


def asking(*inputs: object, **more: object) -> dict[str, Any]:
    """A request's JSON."""
    return {"inputs": list(inputs), **more}


def infer(request: object, tail: bytes | None = None, *headers: str, path: str = INFER) -> bytes:
    """A whole request, with a binary ``tail`` where there is one; bytes are sent as they are."""
    text = request if isinstance(request, bytes) else json.dumps(request).encode()
    length = [] if tail is None else [f"Inference-Header-Content-Length: {len(text)}"]
    body = text + (tail or b"")
    return head("POST", path, f"Content-Length: {len(body)}", *length, *headers) + body
