"""Requests, byte by byte."""

import json
from base64 import b64encode
from collections.abc import Sequence

FRONTIER = "frontier"
FORM = f"multipart/form-data; boundary={FRONTIER}"


def posts(target: str, bodies: Sequence[bytes]) -> list[bytes]:
    """One request for each body."""
    return [post(target, body) for body in bodies]


def post(target: str, body: bytes, kind: str = "image/jpeg", more: tuple[str, ...] = ()) -> bytes:
    """A request with a body, and with ``more`` headers."""
    length = f"Content-Length: {len(body)}"
    return head("POST", target, f"Content-Type: {kind}", length, *more) + body


def chunked(target: str, body: bytes) -> bytes:
    """The same, in one chunk."""
    start = head("POST", target, "Content-Type: image/jpeg", "Transfer-Encoding: chunked")
    return start + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def head(method: str, target: str, *headers: str) -> bytes:
    """A request without a body, or the beginning of one."""
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
    return "\r\n".join(lines).encode()


def form(*images: bytes) -> bytes:
    """A form of these images, for the type FORM."""
    start = f'--{FRONTIER}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    parts = [start.encode() + image + b"\r\n" for image in images]
    return b"".join(parts) + f"--{FRONTIER}--\r\n".encode()


def in_json(image: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """A request's body, its type and its other headers."""
    data = [b64encode(image).decode()]
    given = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    return json.dumps({"inputs": [given]}).encode(), "application/json", ()


def behind(tail: bytes) -> tuple[bytes, str, tuple[str, ...]]:
    """The same, where the tensor follows the JSON."""
    given = {"name": "image", "shape": [1], "datatype": "BYTES"}
    size = {"binary_data_size": len(tail)}
    text = json.dumps({"inputs": [{**given, "parameters": size}]}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}"
    return text + tail, "application/octet-stream", (length,)
