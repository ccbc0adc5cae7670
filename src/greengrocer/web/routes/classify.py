"""What all doors have in common: an image is admitted by what it costs, and answered for."""

import asyncio

from greengrocer.context import Context
from greengrocer.errors import RateLimited
from greengrocer.imaging.decode import Picture, count_pixels
from greengrocer.ranking import Answer, Ask
from greengrocer.serving.rate_limits import Charge
from greengrocer.web.service import Service


async def classify_admitted(
    service: Service, picture: Picture, context: Context, ask: Ask
) -> Answer:
    """Admit one image, and answer for it; raises a Refusal."""
    count_pixels(picture, service.decode_limits)
    with await service.admission.admit_in_turn(context):
        served = await service.classifier.classify(picture, context, ask)
    service.admission.served(served.seconds)
    service.metrics.predicted(served.answer.known)
    return served.answer


async def classify_in_turn(
    service: Service, picture: Picture, context: Context, ask: Ask, charge: Charge | None
) -> Answer:
    """The same for a further image of a request that was let in.

    It counts as a request of its own, where requests are counted. Where none is left to the client
    it waits, and for a place it stands in line.
    """
    await _charged(charge, context)
    context.patient = True
    return await classify_admitted(service, picture, context, ask)


async def _charged(charge: Charge | None, context: Context) -> None:
    """Wait until the client may have one more; raises RateLimited where that is too late."""
    while charge is not None:
        try:
            await charge()
        except RateLimited as limited:
            if limited.retry_after > context.remaining():
                raise
            await asyncio.sleep(limited.retry_after)
            context.check()
        else:
            return


def at_once(service: Service) -> int:
    """How many images of one request are worked on: all threads, and none waits for the next."""
    return service.admission.threads + 1
