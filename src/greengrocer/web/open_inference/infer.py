"""``POST /v2/models/{name}/infer``: a request with images in, a response with tensors out."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from greengrocer.context import Context
from greengrocer.errors import ImageRefused, MalformedUpload, NotReady, TooManyBytes
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.serving.rate_limits import Charge
from greengrocer.web.body.upload import (
    UploadLimits,
    check_declared_length,
    read_content_type,
    receive_body,
)
from greengrocer.web.open_inference.inputs import read_images, read_request
from greengrocer.web.open_inference.outputs import (
    EVIDENCE,
    JSON_LENGTH,
    Wanted,
    infer_response,
    wanted_outputs,
)
from greengrocer.web.open_inference.schemas import InferRequest
from greengrocer.web.request_state import state_of
from greengrocer.web.routes.classify import at_once, classify_admitted, classify_in_turn
from greengrocer.web.routes.parameters import read_patience
from greengrocer.web.service import Service

MOST_EXPLAINED = 64  # images of a request
JSON_OVERHEAD = 1 << 16  # bytes of a request's JSON besides its images in base64


async def infer(service: Service, request: Request) -> Response:
    """Answer for all images in ``request``; raises a Refusal.

    All images share one deadline. If the first image is not admitted, the request is refused.
    """
    state, headers = state_of(request.scope), dict(request.scope["headers"])
    end = state.arrived + read_patience(headers)
    labels, limits = service.classifier.labels, service.upload_limits
    read_content_type(headers)
    json_length = _json_length(headers)
    allowed = _allowed(service, json_length)
    check_declared_length(headers, allowed)
    with service.admission.reserve_bytes() as receipt:
        chunks: list[bytes] = []
        await receive_body(request.receive, chunks.append, allowed, limits, receipt, end)
        asked, images = _read(chunks, json_length, limits)
        wanted = wanted_outputs(asked, labels)
        _check_evidence(wanted, len(images))
        seconds = min(service.deadline, end - time.monotonic())
        contexts = [Context(state.request_id, seconds) for _ in images]
        for context in contexts:
            state.on_disconnect(context.cancel)
        options = AnswerOptions(top=1, tensors=tuple(output.name for output in wanted))
        answers = await _classify(service, images, contexts, options, state.charge)
    if any(answer.model != labels.model for answer in answers):
        raise NotReady("the model was replaced during the request: send it again")
    response = infer_response(answers, wanted, labels, asked.id)
    state.hold_until_sent(service.admission, bytes(response.body))
    return response


def _read(
    chunks: list[bytes], json_length: int | None, limits: UploadLimits
) -> tuple[InferRequest, list[Picture]]:
    """The request without its values, and its images. Nothing else of the body is kept.

    Empties ``chunks``. Raises MalformedUpload or TooManyBytes.
    """
    body = b"".join(chunks)
    chunks.clear()
    if json_length is not None and json_length > len(body):
        raise MalformedUpload(f"{JSON_LENGTH} is {json_length}: only {len(body)} bytes came")
    asked = read_request(body[:json_length])
    binary = memoryview(b"" if json_length is None else body)[json_length:]
    del body  # in base64 it is a third longer than its images
    return asked, read_images(asked, binary, limits)


def _json_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Bytes of the body that are JSON, None for all of them; raises MalformedUpload."""
    text = headers.get(JSON_LENGTH.lower().encode())
    if text is None:
        return None
    if not (text.isdigit() and len(text) < 16):
        raise MalformedUpload(f"{JSON_LENGTH} is not a number of bytes")
    return int(text)


def _allowed(service: Service, json_length: int | None) -> int:
    """The most bytes that a body may have: fewer if all of it is JSON, which takes much memory.

    Raises MalformedUpload for too much JSON before other bytes.
    """
    limits = service.upload_limits
    most_json = limits.image_bytes * 4 // 3 + JSON_OVERHEAD
    if json_length is None:
        return most_json
    if json_length > most_json:
        raise MalformedUpload(f"{JSON_LENGTH} is {json_length}: at most {most_json} are accepted")
    return min(limits.request_bytes, service.admission.limits.upload_bytes)


def _check_evidence(wanted: Sequence[Wanted], images: int) -> None:
    """Raise TooManyBytes for more evidence than an answer may hold."""
    if images > MOST_EXPLAINED and EVIDENCE in [output.name for output in wanted]:
        raise TooManyBytes(
            f"the output {EVIDENCE} is for at most {MOST_EXPLAINED} images in a request: "
            f"send the {images} images in several"
        )


async def _classify(
    service: Service,
    images: Sequence[Picture],
    contexts: Sequence[Context],
    options: AnswerOptions,
    charge: Charge | None,
) -> list[Answer]:
    """The answers, or the refusal of the first image that is refused."""
    places = asyncio.Semaphore(at_once(service))

    async def one(index: int, image: Picture) -> Answer:
        work = service, image, contexts[index], options
        async with places:
            size = len(image) if isinstance(image, bytes) else image.nbytes
            service.metrics.upload_bytes.observe(size)
            try:
                if index:
                    return await classify_in_turn(*work, charge)
                return await classify_admitted(*work)
            except ImageRefused as refusal:
                if len(images) == 1:
                    raise
                raise type(refusal)(f"image {index}: {refusal}") from refusal

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*item)) for item in enumerate(images)]
    except BaseExceptionGroup as refused:
        raise refused.exceptions[0] from None
    return [task.result() for task in tasks]
