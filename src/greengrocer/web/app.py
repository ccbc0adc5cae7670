"""The application: every route in one table, each described where it stands."""

import math
from typing import Annotated, Any, Literal

import orjson
from fastapi import FastAPI, Header, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp

from greengrocer import __version__
from greengrocer.errors import ParameterOutOfRange, Refusal
from greengrocer.web import health
from greengrocer.web.docs import ASSETS, docs_assets, docs_page
from greengrocer.web.gallery import random_image
from greengrocer.web.observe import Observe
from greengrocer.web.predict import DEFAULT_TOP, predict
from greengrocer.web.problems import (
    described,
    http_exception_response,
    internal_error_response,
    refusal_response,
)
from greengrocer.web.schemas import ClassNames, Health, Prediction, Problem
from greengrocer.web.service import Service
from greengrocer.web.upload import FIELD, FORM_TYPE, PICTURE_TYPES

DESCRIPTION = """\
Every refusal is a problem document (RFC 9457) with a stable `code`. Beside those listed below, any
request may be answered 400, 408, 414 or 431 where its head is malformed, slow or too large; 404 and
405 where there is no such path or method."""
MOST_MS = 10**9  # longer than any deadline, and short enough for a float
PROBES = frozenset({"/livez", "/readyz", "/metrics"})

_BINARY = {"type": "string", "format": "binary"}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One JPEG, PNG or WebP: as a form's file, or as the body itself.",
        "content": {
            FORM_TYPE: {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: _BINARY},
                    "required": [FIELD],
                }
            },
            **{kind: {"schema": _BINARY} for kind in PICTURE_TYPES},
        },
    }
}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A JPEG",
        "content": {"image/jpeg": {"schema": _BINARY}},
        "headers": {
            "X-Class": {"schema": {"type": "string"}, "description": "its true class"},
            "X-Gallery": {
                "schema": {"type": "string"},
                "description": "built-in, where there is no data set",
            },
        },
    }
}


def create_app(service: Service) -> ASGIApp:
    """The ASGI application over ``service``, whose model is loaded already."""
    app = FastAPI(
        title="Greengrocer",
        version=__version__,
        summary="Tells what grocery item a photo shows.",
        description=DESCRIPTION,
        redirect_slashes=False,  # it would redirect to wherever the Host header says
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    _add_predict(app, service)
    _add_pictures(app, service)
    _add_health(app, service)
    app.get("/docs", include_in_schema=False)(docs_page)
    app.mount(ASSETS, docs_assets())
    _add_problems(app)
    routes = frozenset(app.openapi()["paths"]) | {"/docs", "/openapi.json"}
    return Observe(app, service.metrics, routes, PROBES, service.access_log)


def _add_predict(app: FastAPI, service: Service) -> None:
    top = Query(ge=1, description="how many of the best classes to list, at most all of them")
    patience = Header(
        alias="X-Deadline-Ms",
        ge=1,
        description="milliseconds from the arrival of the request's head in which the answer is of "
        "use, upload and queue included; it can shorten the service's own deadline and not "
        "lengthen it, and past it the request is dropped and answered 504",
    )

    @app.post(
        "/predict",
        summary="Tell what a picture shows",
        response_model=Prediction,
        responses=described(400, 408, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra=_UPLOAD,
    )
    async def _predict(
        request: Request,
        top: Annotated[int, top] = DEFAULT_TOP,
        deadline_ms: Annotated[int | None, patience] = None,
    ) -> Response:
        classes = len(service.classifier.labels.classes)
        if top > classes and "top" in request.query_params:
            raise ParameterOutOfRange(f"top is {top}: this model has {classes} classes")
        seconds = math.inf if deadline_ms is None else min(deadline_ms, MOST_MS) / 1000
        return await predict(service, request, top, seconds)


def _add_pictures(app: FastAPI, service: Service) -> None:
    @app.get(
        "/class-names",
        summary="List the classes, in class-id order",
        response_model=ClassNames,
        responses=described(422),
    )
    async def _class_names(level: Literal["fine", "coarse"] = "fine") -> Response:
        labels = service.classifier.labels
        classes = labels.classes if level == "fine" else labels.coarse
        if classes is None:
            raise ParameterOutOfRange("level is coarse: this model has no coarse classes")
        return Response(orjson.dumps({"classes": classes}), media_type="application/json")

    @app.get(
        "/random-image",
        summary="Fetch a random picture to try",
        response_class=StreamingResponse,
        responses={**_JPEG, **described(500, 503)},
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
        return health.readyz(service)

    @app.get(
        "/metrics",
        summary="Metrics in Prometheus's text format",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def _metrics() -> Response:
        return health.metrics(service)


def _add_problems(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return refusal_response(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        detail = f"{first['loc'][-1]} is {first['input']!r}: {first['msg'].lower()}"
        return refusal_response(request, ParameterOutOfRange(detail))

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return http_exception_response(request, error)

    async def failed(request: Request, error: Exception) -> Response:
        del error  # Observe logs it; nothing of it may reach the client
        return internal_error_response(request)

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unrouted)
    schema = app.openapi()
    schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    for orphan in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(orphan, None)
