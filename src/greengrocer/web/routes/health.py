"""``/livez``, ``/readyz`` and ``/metrics``: for load balancers and Prometheus."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from greengrocer.telemetry.metrics import CONTENT_TYPE
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.schemas import Health
from greengrocer.web.service import Service


async def livez(service: Service, request: Request) -> Response:
    """200 as long as the event loop runs."""
    del service, request
    return JSONResponse({"status": "alive"})


async def is_ready(service: Service) -> bool:
    """Whether the service is ready for requests; checked on demand, so idle processes stay idle."""
    return service.readiness.ready and await service.classifier.check()


async def readyz(service: Service, request: Request) -> Response:
    """200 while the service is ready for requests, 503 otherwise."""
    del request
    ready = await is_ready(service)
    return JSONResponse(
        {
            "status": service.readiness.state.value
            if ready or not service.readiness.ready
            else "ill"
        },
        status_code=200 if ready else 503,
    )


async def metrics(service: Service, request: Request) -> Response:
    """The metrics of all processes together."""
    del request
    if service.metrics.shared is None:  # otherwise the process that admits images counts them
        service.metrics.pictures_in_flight.set(service.admission.pictures)
    return Response(service.metrics.render(), media_type=CONTENT_TYPE)


LIVEZ = Endpoint(
    "GET", "/livez", livez, "Is the process alive?", model=Health, is_open=True, is_probe=True
)
READYZ = Endpoint(
    "GET",
    "/readyz",
    readyz,
    "Is the service ready for requests?",
    model=Health,
    responses={503: {"model": Health, "description": "not now"}},
    is_open=True,
    is_probe=True,
)
METRICS = Endpoint(
    "GET",
    "/metrics",
    metrics,
    "Metrics in Prometheus's text format",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    is_probe=True,
)
