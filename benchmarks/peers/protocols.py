"""How contenders are asked: by a form, or by the Open Inference Protocol."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.load import tensor_body


@dataclass(frozen=True)
class Protocol:
    """What is sent with an image, and where the answer has the image's class."""

    path: str
    sent: Callable[[bytes], dict[str, Any]]  # headers and body, as httpx takes them
    label: Callable[[Any], str]  # of an answer's JSON

    def request(self, image: bytes) -> bytes:
        """A whole request with ``image``."""
        request = httpx.Request("POST", f"http://127.0.0.1{self.path}", **self.sent(image))
        head = b"".join(b"%s: %s\r\n" % (name, value) for name, value in request.headers.raw)
        return f"POST {self.path} HTTP/1.1\r\n".encode() + head + b"\r\n" + request.read()


def _form(image: bytes) -> dict[str, Any]:
    return {"files": {"file": ("picture.jpg", image, "image/jpeg")}}


def _tensor(image: bytes) -> dict[str, Any]:
    body, length = tensor_body([1, 1], image)  # a batch of one sample, which has one value
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": str(length),
    }
    return {"content": body, "headers": headers}


FORM = Protocol("/predict", _form, lambda answer: str(answer["prediction"]))
OPEN_INFERENCE = Protocol(
    "/v2/models/recogniser/infer", _tensor, lambda answer: str(answer["outputs"][0]["data"][0])
)
