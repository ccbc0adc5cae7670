"""``POST /predict`` and ``POST /explain``: upload, admission, classification, response."""

import time

import orjson
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.answer_json import answer_json
from greengrocer.ranking import Answer, AnswerOptions
from greengrocer.web.asked_model import AskedModel, asked_model
from greengrocer.web.body.upload import read_image
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.headers import header_text
from greengrocer.web.openapi import image, upload
from greengrocer.web.problems import described
from greengrocer.web.request_state import body_source, state_of
from greengrocer.web.routes.classify import classify_admitted
from greengrocer.web.routes.parameters import IN_HEADERS, OF_IMAGES, read_options, read_patience
from greengrocer.web.schemas import Prediction
from greengrocer.web.service import Service

OVERLAID = AnswerOptions(top=1, overlay=True)


async def predict(service: Service, request: Request) -> Response:
    """Classify the image in ``request``; raises a Refusal."""
    model = asked_model(service, request)
    options = read_options(request, len(model.labels.classes))
    state = state_of(request.scope)
    answer = await _answer(service, model, request, options)
    body = orjson.dumps(answer_json(answer, state.request_id))
    held = state.hold_until_sent(service.admission, body, model.key)
    return Response(held, media_type="application/json")


async def explain(service: Service, request: Request) -> Response:
    """The image in ``request`` under its class activation map, as PNG; raises a Refusal."""
    model = asked_model(service, request)
    model.labels.check_evidence()
    answer = await _answer(service, model, request, OVERLAID)
    assert answer.overlay is not None  # OVERLAID asks for it
    headers = {"X-Class": header_text(answer.top[0].name)}
    state = state_of(request.scope)
    overlay = state.hold_until_sent(service.admission, answer.overlay, model.key)
    return Response(overlay, 200, headers, "image/png")


async def _answer(
    service: Service, model: AskedModel, request: Request, options: AnswerOptions
) -> Answer:
    state, headers = state_of(request.scope), dict(request.scope["headers"])
    end = state.arrived + read_patience(headers)
    with service.admission.reserve_bytes(model.key) as receipt:
        source, limits = body_source(request), service.upload_limits
        with service.stage("upload"):
            image = await read_image(source, headers, limits, receipt, end)
        service.metrics.upload_bytes.observe(len(image))
        seconds = min(service.deadline, end - time.monotonic())
        context = state.context(seconds)
        return await classify_admitted(service, model, image, context, options)


_REFUSALS = described(400, 408, 413, 415, 422, 429, 500, 503, 504)
PREDICT = Endpoint(
    "POST",
    "/predict",
    predict,
    "Classify an image",
    parameters=OF_IMAGES,
    body=upload(),
    model=Prediction,
    responses=_REFUSALS,
    is_hot=True,
)
EXPLAIN = Endpoint(
    "POST",
    "/explain",
    explain,
    "Show where in an image the evidence is",
    parameters=IN_HEADERS,
    body=upload(),
    responses={
        **image(
            "image/png",
            "A PNG of at most 1024 pixels on its longer side",
            {"X-Class": "the prediction that the evidence is for, percent-encoded beyond ASCII"},
        ),
        **_REFUSALS,
        **described(501),
    },
    is_hot=True,
)
