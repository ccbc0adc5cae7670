"""What all endpoints that classify have in common: admission, then classification."""

import asyncio
from contextlib import suppress

from greengrocer.context import Context
from greengrocer.errors import RateLimited, Refusal
from greengrocer.imaging.decode import Picture, count_pixels
from greengrocer.ranking import Answer, AnswerOptions, ModelId
from greengrocer.serving.rate_limits import Charge
from greengrocer.web.asked_model import AskedModel
from greengrocer.web.problems import INTERNAL_ERROR
from greengrocer.web.service import Service


async def classify_admitted(
    service: Service,
    model: AskedModel,
    image: Picture,
    context: Context,
    options: AnswerOptions,
) -> Answer:
    """Admit one image and classify it; raises a Refusal."""
    count_pixels(image, service.decode_limits)
    context.begin("admit")
    try:
        with await service.admission.admit_in_turn(context, model.key):
            served = await service.classifier.classify(image, context, options, model.order)
            service.admission.served(served.seconds, model.key)
    except Refusal as refusal:
        _trace(service, context, model.labels.model, refusal.code)
        if refusal.of_model:
            service.metrics.model_refusals.labels(model.key, refusal.code).inc()
        raise
    except Exception:
        service.metrics.model_refusals.labels(model.key, INTERNAL_ERROR).inc()
        raise
    _trace(service, context, served.answer.model)
    service.metrics.predicted(model.key, served.seconds, served.answer.known)
    return served.answer


def _trace(service: Service, context: Context, model: ModelId, refused: str = "") -> None:
    """The work for an image is over."""
    context.begin("end")
    if service.traces is not None:
        service.traces.image(context.marks, model, context.request_id, refused)


async def classify_in_turn(
    service: Service,
    model: AskedModel,
    image: Picture,
    context: Context,
    options: AnswerOptions,
    charge: Charge | None,
) -> Answer:
    """The same for a further image of an admitted request.

    It counts as one more request against the rate limits. It waits where the client has no request
    left, and waits for its place in the queue. Raises a Refusal.
    """
    await _charged(charge, context)
    context.patient = True
    return await classify_admitted(service, model, image, context, options)


async def _charged(charge: Charge | None, context: Context) -> None:
    """Wait until the rate limits allow one more.

    Raises RateLimited where that is too late, or ClientDisconnected.
    """
    while charge is not None:
        try:
            await charge()
        except RateLimited as limited:
            if limited.retry_after > context.remaining():
                raise
            context.check()
            gone = asyncio.Event()
            context.on_cancel = gone.set
            with suppress(TimeoutError):
                await asyncio.wait_for(gone.wait(), limited.retry_after)
            context.on_cancel = None
            context.check()
        else:
            return


def at_once(service: Service) -> int:
    """How many images of one request are processed at once: all threads, and one that is ready."""
    return service.admission.threads + 1
