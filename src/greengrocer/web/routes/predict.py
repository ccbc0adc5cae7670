"""``POST /predict`` and ``POST /explain``: upload, admit, classify, respond."""

import time

import orjson
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.context import Context
from greengrocer.ranking import Answer, Ask
from greengrocer.web.body.upload import read_picture
from greengrocer.web.headers import header_text
from greengrocer.web.routes.classify import classify_admitted
from greengrocer.web.routes.parameters import read_ask, read_patience
from greengrocer.web.schemas import prediction_body
from greengrocer.web.service import Service
from greengrocer.web.untaken import hold

OVERLAID = Ask(top=1, overlay=True)


async def predict(service: Service, request: Request) -> Response:
    """Answer for the one image in ``request``; raises a Refusal."""
    ask = read_ask(request, len(service.classifier.labels.classes))
    answer = await _answer(service, request, ask)
    body = orjson.dumps(prediction_body(answer, request.scope["state"]["request_id"]))
    return Response(hold(service, request, body), media_type="application/json")


async def explain(service: Service, request: Request) -> Response:
    """The one image in ``request`` with its evidence laid over, a PNG; raises a Refusal."""
    answer = await _answer(service, request, OVERLAID)
    assert answer.overlay is not None  # it was asked for
    headers = {"X-Class": header_text(answer.top[0].name)}
    return Response(hold(service, request, answer.overlay), 200, headers, "image/png")


async def _answer(service: Service, request: Request, ask: Ask) -> Answer:
    state, headers = request.scope["state"], dict(request.scope["headers"])
    end = state["arrived"] + read_patience(headers)
    with service.admission.reserve_bytes() as receipt:
        picture = await read_picture(request.receive, headers, service.upload_limits, receipt, end)
        service.metrics.upload_bytes.observe(len(picture))
        seconds = min(service.deadline, end - time.monotonic())
        context = Context(state["request_id"], seconds)
        state["when_departed"].append(context.cancel)
        return await classify_admitted(service, picture, context, ask)
