"""``/livez``, ``/readyz`` and ``/metrics``: what balancers and Prometheus ask."""

from starlette.responses import JSONResponse, Response

from greengrocer.telemetry.metrics import CONTENT_TYPE
from greengrocer.web.service import Service


def livez() -> Response:
    """200 as long as the event loop turns."""
    return JSONResponse({"status": "alive"})


async def is_ready(service: Service) -> bool:
    """Whether traffic should come. Nobody looks before somebody asks: idle processes stay idle."""
    return service.readiness.ready and await service.classifier.check()


async def readyz(service: Service) -> Response:
    """200 while traffic should come, 503 otherwise."""
    ready = await is_ready(service)
    return JSONResponse(
        {
            "status": service.readiness.state.value
            if ready or not service.readiness.ready
            else "ill"
        },
        status_code=200 if ready else 503,
    )


def metrics(service: Service) -> Response:
    """Everything that is measured, by all processes together."""
    if service.metrics.shared is None:  # else the process that admits images counts them
        service.metrics.pictures_in_flight.set(service.admission.pictures)
    return Response(service.metrics.render(), media_type=CONTENT_TYPE)
