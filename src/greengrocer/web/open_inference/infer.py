"""``POST /v2/models/{name}/infer``: a request with images in, a response with tensors out."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from greengrocer.errors import MalformedUpload
from greengrocer.imaging.decode import Picture
from greengrocer.serving.admission import ReservedBytes
from greengrocer.web.asked_model import asked_model
from greengrocer.web.body.upload import (
    UploadLimits,
    check_declared_length,
    read_content_type,
    receive_body,
)
from greengrocer.web.open_inference.answers import answer_images
from greengrocer.web.open_inference.inputs import read_images, read_request
from greengrocer.web.open_inference.outputs import (
    JSON_LENGTH,
    infer_response,
    wanted_outputs,
)
from greengrocer.web.open_inference.schemas import InferRequest
from greengrocer.web.receive_buffer import ReceiveBuffer
from greengrocer.web.request_state import body_source, state_of
from greengrocer.web.routes.parameters import read_patience
from greengrocer.web.service import Service

JSON_OVERHEAD = 1 << 16  # bytes of a request's JSON besides its images in base64


async def infer(service: Service, request: Request) -> Response:
    """Answer for all images in ``request``; raises a Refusal."""
    state, headers = state_of(request.scope), dict(request.scope["headers"])
    end = state.arrived + read_patience(headers)
    model, limits = asked_model(service, request), service.upload_limits
    labels = model.labels
    read_content_type(headers)
    json_length = _json_length(headers)
    allowed = min(_allowed(limits, json_length), service.admission.most_bytes(model.key))
    check_declared_length(headers, allowed)
    with service.admission.reserve_bytes(model.key) as receipt:
        with service.stage("upload"):
            asked, images = await _received(request, json_length, allowed, limits, receipt, end)
        wanted = wanted_outputs(asked, labels)
        answers = await answer_images(service, model, wanted, images, state, end)
    response = infer_response(answers, wanted, labels, asked.id)
    state.hold_until_sent(service.admission, response.body, model.key)
    return response


async def _received(
    request: Request,
    json_length: int | None,
    allowed: int,
    limits: UploadLimits,
    receipt: ReservedBytes,
    end: float,
) -> tuple[InferRequest, list[Picture]]:
    """The request without its values, and its images: views of the body if they are in binary.

    Raises as ``receive_body`` does, and MalformedUpload or TooManyBytes.
    """
    body = ReceiveBuffer()
    receipt.released = body.recycle_soon
    await receive_body(body_source(request), body, None, allowed, limits, receipt, end)
    if json_length is None:
        asked, binary = read_request(body.whole()), memoryview(b"")
        body.recycle()  # in base64 it is a third longer than its images
    elif json_length <= len(body):
        asked, binary = read_request(bytes(body.view(0, json_length))), body.view(json_length)
    else:
        raise MalformedUpload(f"{JSON_LENGTH} is {json_length}: only {len(body)} bytes came")
    return asked, read_images(asked, binary, limits)


def _json_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Bytes of the body that are JSON, None for all of them; raises MalformedUpload."""
    text = headers.get(JSON_LENGTH.lower().encode())
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 16):
        raise MalformedUpload(f"{JSON_LENGTH} is not a number of bytes")
    return int(text)


def _allowed(limits: UploadLimits, json_length: int | None) -> int:
    """The most bytes that a body may have: fewer if all of it is JSON, which takes much memory.

    Raises MalformedUpload for too much JSON before other bytes.
    """
    most_json = limits.image_bytes * 4 // 3 + JSON_OVERHEAD
    if json_length is None:
        return most_json
    if json_length > most_json:
        raise MalformedUpload(f"{JSON_LENGTH} is {json_length}: at most {most_json} are accepted")
    return limits.request_bytes
