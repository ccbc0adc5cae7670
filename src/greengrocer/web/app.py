"""The application: every route in one table, each described where it stands."""

from typing import Annotated

import orjson
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from greengrocer.errors import ParameterOutOfRange, Refusal
from greengrocer.tracebacks import release_frames
from greengrocer.version import __version__
from greengrocer.web.access.access import CanonicalPath
from greengrocer.web.observe import Observe
from greengrocer.web.open_inference import routes as open_inference
from greengrocer.web.openapi import (
    JPEG,
    LINES,
    PNG,
    UPLOAD,
    UPLOAD_OF_MANY,
    UPLOAD_TO_EXPLAIN,
    add_schemas,
    describe_access,
)
from greengrocer.web.page.page import ASSETS as PAGE_ASSETS
from greengrocer.web.page.page import page, page_asset
from greengrocer.web.problems import (
    described,
    http_exception_response,
    internal_error_response,
    refusal_response,
)
from greengrocer.web.quoted import quoted
from greengrocer.web.routes import health
from greengrocer.web.routes.batch import predict_batch
from greengrocer.web.routes.docs import ASSETS, docs_assets, docs_page
from greengrocer.web.routes.gallery import random_image
from greengrocer.web.routes.predict import explain, predict
from greengrocer.web.schemas import (
    ClassNames,
    Health,
    Prediction,
    PredictionLine,
    Problem,
    ProblemLine,
)
from greengrocer.web.service import Service
from greengrocer.web.shortcut import Endpoint, Shortcut

DESCRIPTION = """\
Every refusal is a problem document (RFC 9457) with a stable `code`. Beside those listed below, any
request may be answered 400, 408, 414 or 431 where its head is malformed, slow or too large; 404 and
405 where there is no such path or method."""
LEVELS = ("fine", "coarse")
LevelName = Annotated[str, Query(json_schema_extra={"enum": [*LEVELS]})]
PROBES = frozenset({"/livez", "/readyz", "/metrics"}) | open_inference.PROBES


def create_app(service: Service) -> ASGIApp:
    """The ASGI application over ``service``, whose model is loaded already."""
    app = FastAPI(
        title="Greengrocer",
        version=__version__,
        summary="Tells what grocery item a photo shows.",
        description=DESCRIPTION,
        redirect_slashes=False,  # it would redirect to wherever the Host header says
        servers=[{"url": "."}],  # where the description is, below a proxy's path, too
        openapi_url=None,  # it would be written anew for each request
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    endpoints = _add_predict(app, service)
    _add_pictures(app, service)
    _add_health(app, service)
    open_inference.add_open_inference(app, service)
    _add_page(app, service)
    app.get("/docs", include_in_schema=False)(docs_page)
    app.mount(ASSETS, docs_assets())
    _add_problems(app)
    routes = frozenset(app.openapi()["paths"]) | {"/", "/docs", "/openapi.json"}
    describe_access(app.openapi(), service.access)
    _add_description(app)
    _answer_head(app)
    short = Shortcut(app, {("POST", path): endpoint for path, endpoint in endpoints.items()})
    guarded = service.access.before(CanonicalPath(short), CanonicalPath(app))
    access_log, addresses = service.access_log, service.log_addresses
    return Observe(guarded, service.metrics, routes, PROBES, access_log, addresses)


def _add_predict(app: FastAPI, service: Service) -> dict[str, Endpoint]:
    """Add the routes that take images, and return them by their paths: time counts on them."""
    refusals = described(400, 408, 413, 415, 422, 429, 500, 503, 504)

    @app.post(
        "/predict",
        summary="Tell what an image shows",
        response_model=Prediction,
        responses=refusals,
        openapi_extra=UPLOAD,
    )
    async def _predict(request: Request) -> Response:
        return await predict(service, request)

    @app.post(
        "/explain",
        summary="Show where in an image the evidence is",
        response_class=Response,
        responses={**PNG, **refusals},
        openapi_extra=UPLOAD_TO_EXPLAIN,
    )
    async def _explain(request: Request) -> Response:
        return await explain(service, request)

    @app.post(
        "/predict/batch",
        summary="Tell what many images show",
        response_class=Response,
        responses={**LINES, **refusals},
        openapi_extra=UPLOAD_OF_MANY,
    )
    async def _predict_batch(request: Request) -> Response:
        return await predict_batch(service, request)

    return {"/predict": _predict, "/explain": _explain, "/predict/batch": _predict_batch}


def _add_pictures(app: FastAPI, service: Service) -> None:
    @app.get(
        "/class-names",
        summary="List the classes, in class-id order",
        response_model=ClassNames,
        responses=described(422),
    )
    async def _class_names(level: LevelName = LEVELS[0]) -> Response:
        if level not in LEVELS:
            raise ParameterOutOfRange(f"level is {quoted(level)}: it must be {' or '.join(LEVELS)}")
        labels = service.classifier.labels
        classes = labels.classes if level == "fine" else labels.coarse
        if classes is None:
            raise ParameterOutOfRange("level is coarse: this model has no coarse classes")
        return Response(orjson.dumps({"classes": classes}), media_type="application/json")

    @app.get(
        "/random-image",
        summary="Fetch a random image to try",
        response_class=StreamingResponse,
        responses={**JPEG, **described(500, 503)},
    )
    async def _random_image() -> StreamingResponse:
        return await random_image(service.gallery)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/livez", summary="Is the process alive?", response_model=Health)
    async def _livez() -> Response:
        return health.livez()

    @app.get(
        "/readyz",
        summary="Should traffic come here?",
        response_model=Health,
        responses={503: {"model": Health, "description": "not now"}},
    )
    async def _readyz() -> Response:
        return await health.readyz(service)

    @app.get(
        "/metrics",
        summary="Metrics in Prometheus's text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def _metrics() -> Response:
        return health.metrics(service)


def _add_page(app: FastAPI, service: Service) -> None:
    @app.get("/", include_in_schema=False)
    async def _page(request: Request) -> Response:
        return page(request, service.classifier.labels.model)

    @app.get(f"{PAGE_ASSETS}/{{name}}", include_in_schema=False)
    async def _page_asset(request: Request, name: str) -> Response:
        return page_asset(request, name)


def _add_description(app: FastAPI) -> None:
    """Answer with what describes the routes that are there by now."""
    description = orjson.dumps(app.openapi())

    @app.get("/openapi.json", include_in_schema=False)
    async def _description() -> Response:
        return Response(description, media_type="application/json")


def _answer_head(app: FastAPI) -> None:
    """HEAD wherever there is GET (RFC 9110, 9.1); the server leaves the answer's body out."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def _add_problems(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return refusal_response(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        name = quoted(str(error.errors()[0]["loc"][-1]))
        detail = f"the parameter {name} is not as /openapi.json describes it"
        return refusal_response(request, ParameterOutOfRange(detail))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return http_exception_response(request, error)

    async def failed(request: Request, error: Exception) -> Response:
        release_frames(error)  # Observe logs it; nothing of it may reach the client
        return internal_error_response(request)

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)
    schema = app.openapi()
    add_schemas(schema, Problem, ProblemLine, PredictionLine, *open_inference.SCHEMAS)
    for orphan in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(orphan, None)
