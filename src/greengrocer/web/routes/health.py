"""``/livez``, ``/readyz`` and ``/metrics``: for load balancers and Prometheus."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from greengrocer.serving.catalogue import Catalogue
from greengrocer.telemetry.metrics import OPENMETRICS
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.schemas import Health
from greengrocer.web.service import Service

METRIC_TYPES = ("text/plain", OPENMETRICS)


async def livez(service: Service, request: Request) -> Response:
    """200 as long as the event loop runs and a thread works, 503 if all hang."""
    del request
    if service.classifier.hung:
        return JSONResponse({"status": "hung"}, status_code=503)
    return JSONResponse({"status": "alive"})


async def is_ready(service: Service) -> bool:
    """Whether the service is ready for requests; checked on demand, so idle processes stay idle."""
    return service.readiness.ready and await service.classifier.check()


async def readyz(service: Service, request: Request) -> Response:
    """200 while the service is ready for requests, 503 otherwise.

    A model that could not be loaded changes neither, unless it is the default: others are answered.
    """
    ready = await is_ready(service)
    body: dict[str, object] = {
        "status": service.readiness.state.value if ready or not service.readiness.ready else "ill"
    }
    if "verbose" in request.query_params:
        body["models"] = _models(service.classifier.catalogue)
    return JSONResponse(body, status_code=200 if ready else 503)


def _models(catalogue: Catalogue) -> list[dict[str, str | None]]:
    """The state of each model; the log says why one is not there."""
    loaded: list[dict[str, str | None]] = [
        {"name": model.key, "version": model.labels.model.version, "state": "ready"}
        for model in catalogue.models
    ]
    absent = [{"name": key, "version": None, "state": str(why)} for key, why in catalogue.absent]
    return [*loaded, *absent]


async def metrics(service: Service, request: Request) -> Response:
    """The metrics of all processes together."""
    if service.metrics.shared is None:  # otherwise the process that admits images counts them
        service.metrics.pictures_in_flight.set(service.admission.pictures)
    body, content_type = service.metrics.render(request.headers.get("accept", ""))
    return Response(body, media_type=content_type)


LIVEZ = Endpoint(
    "GET",
    "/livez",
    livez,
    "Is the process alive?",
    model=Health,
    responses={503: {"model": Health, "description": "restart it: all its threads hang"}},
    is_open=True,
    is_probe=True,
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
    "Metrics in Prometheus's text format, or as OpenMetrics",
    responses={200: {"content": {kind: {"schema": {"type": "string"}} for kind in METRIC_TYPES}}},
    is_probe=True,
)
