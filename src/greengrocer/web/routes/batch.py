"""``POST /predict/batch``: the images of a form are classified while it arrives, one line each."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from greengrocer.web.asked_model import asked_model
from greengrocer.web.body.upload import (
    FIELD,
    FORM_TYPE,
    check_declared_length,
    read_content_type,
    wrong_type,
)
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.openapi import BINARY
from greengrocer.web.problems import described
from greengrocer.web.request_state import state_of
from greengrocer.web.routes.batch_answers import BatchAnswers
from greengrocer.web.routes.parameters import OF_IMAGES, read_options, read_patience
from greengrocer.web.schemas import PredictionLine, ProblemLine
from greengrocer.web.service import Service

NDJSON = "application/x-ndjson"  # one JSON object per line


async def predict_batch(service: Service, request: Request) -> Response:
    """Classify all images in ``request``.

    Raises a Refusal where the request, or the admission of its first image, is refused.
    """
    headers = dict(request.scope["headers"])
    model = asked_model(service, request)
    options = read_options(request, len(model.labels.classes))
    end = state_of(request.scope).arrived + read_patience(headers)
    kind, boundary = read_content_type(headers)
    if kind != FORM_TYPE:
        raise wrong_type(kind, f"with fields {FIELD!r}")
    check_declared_length(headers, service.upload_limits.request_bytes)
    answers = BatchAnswers(service, model, request, options, end)
    answers.begin(boundary)
    try:
        return BatchResponse(await answers.next(), answers)
    except BaseException:
        await answers.stop()
        raise


class BatchResponse(Response):
    """``answers``, after the ``first`` of them, each sent as soon as it is ready."""

    media_type = NDJSON

    def __init__(self, first: bytes | None, answers: BatchAnswers) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.first = first
        self.answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        del receive
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            await send(head)
            answer = self.first
            while answer is not None:
                await send({"type": "http.response.body", "body": answer, "more_body": True})
                await state_of(scope).sent()
                answer = await self.answers.next()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await self.answers.stop()


_BODY: dict[str, Any] = {
    "required": True,
    "description": "A form with one file per image. It is read only as fast as its images are "
    "classified: if the first is not admitted, the request is refused; the others wait to be "
    "admitted. The service's own deadline is that of each image, from when it is admitted; "
    "X-Deadline-Ms is that of all of them.",
    "content": {
        FORM_TYPE: {
            "schema": {
                "type": "object",
                "properties": {FIELD: {"type": "array", "items": BINARY, "minItems": 1}},
                "required": [FIELD],
            }
        }
    },
}
_RESPONSES: dict[int | str, Any] = {
    200: {
        "description": "One JSON object per line, in order, each sent as soon as it is ready: what "
        "/predict would answer, or a problem with its status, and the index, counted from 0. If "
        "the form breaks off or is refused midway, the last line is a problem.",
        "content": {
            NDJSON: {
                "schema": {
                    "anyOf": [
                        {"$ref": "#/components/schemas/PredictionLine"},
                        {"$ref": "#/components/schemas/ProblemLine"},
                    ]
                }
            }
        },
    }
}
PREDICT_BATCH = Endpoint(
    "POST",
    "/predict/batch",
    predict_batch,
    "Classify many images",
    parameters=OF_IMAGES,
    body=_BODY,
    responses={**_RESPONSES, **described(400, 408, 413, 415, 422, 429, 500, 503, 504)},
    schemas=(PredictionLine, ProblemLine),
    is_hot=True,
)
