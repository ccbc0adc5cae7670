"""``POST /predict``: upload, admit, classify, respond."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from starlette.requests import Request
from starlette.responses import Response

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded
from greengrocer.imaging.decode import check_pixels
from greengrocer.imaging.formats import read_header
from greengrocer.ranking import Answer
from greengrocer.serving.admission import Receipt
from greengrocer.web.schemas import prediction_body
from greengrocer.web.service import Service
from greengrocer.web.upload import read_picture

DEFAULT_TOP = 5


async def predict(service: Service, request: Request, top: int, patience: float) -> Response:
    """Answer for the one picture in ``request``; raises a Refusal.

    The client waits for ``patience`` seconds from its request's head on.
    """
    request_id = request.state.request_id
    end = request.state.arrived + patience
    with service.admission.receiving() as receipt:
        picture = await _uploaded(service, request, receipt, end)
        service.metrics.upload_bytes.observe(len(picture))
        context = Context(request_id, min(service.deadline, end - time.monotonic()))
        async with _cancelled_on_departure(request, context):
            answer = await classify_admitted(service, picture, context, top)
    return Response(
        orjson.dumps(prediction_body(answer, request_id)), media_type="application/json"
    )


async def _uploaded(service: Service, request: Request, receipt: Receipt, end: float) -> bytes:
    """The picture, unless the client's patience ends before its upload does."""
    left = None if end == math.inf else end - time.monotonic()
    try:
        async with asyncio.timeout(left):
            return await read_picture(
                request.receive, request.headers, service.upload_limits, receipt
            )
    except TimeoutError:
        raise DeadlineExceeded("the deadline passed before the picture was sent") from None


async def classify_admitted(service: Service, picture: bytes, context: Context, top: int) -> Answer:
    """Admit one picture by what it costs, and answer for it; raises a Refusal."""
    header = read_header(picture)
    check_pixels(header, service.decode_limits)
    with service.admission.admitted(header.pixels):
        served = await service.classifier.classify(picture, context, top)
    service.admission.served(served.seconds)
    service.metrics.predictions.labels("true" if served.answer.known else "false").inc()
    return served.answer


@asynccontextmanager
async def _cancelled_on_departure(request: Request, context: Context) -> AsyncIterator[None]:
    """Cancel ``context`` if the client leaves before its answer is ready."""

    async def wait_for_departure() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        context.cancel()

    watch = asyncio.create_task(wait_for_departure())
    try:
        yield
    finally:
        watch.cancel()
