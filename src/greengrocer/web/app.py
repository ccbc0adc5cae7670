"""The application: FastAPI's routes, made from the table of routes, and the layers around them."""

from collections.abc import Iterable, Sequence

import orjson
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from greengrocer.errors import Refusal
from greengrocer.tracebacks import release_frames
from greengrocer.version import __version__
from greengrocer.web.access.access import CanonicalPath
from greengrocer.web.endpoint import Endpoint, opened
from greengrocer.web.observe import observed
from greengrocer.web.openapi import finish
from greengrocer.web.problems import (
    http_exception_response,
    internal_error_response,
    refusal_response,
)
from greengrocer.web.service import Service
from greengrocer.web.shortcut import Shortcut
from greengrocer.web.table import ENDPOINTS

DESCRIPTION = """\
Every refusal is a problem document (RFC 9457) with a stable `code`; below `/v2` it has the form of
the Open Inference Protocol. Besides the statuses listed below, any request may get 400, 408, 414,
431 or 501, as a problem document, if its headers are malformed, slow, too large or not understood,
and 404 or 405 if there is no such path or method."""


def create_app(service: Service, endpoints: Sequence[Endpoint] = ENDPOINTS) -> ASGIApp:
    """The ASGI application of ``endpoints`` over ``service``, whose model is loaded already."""
    app = FastAPI(
        title="Greengrocer",
        version=__version__,
        summary="Tells what a photo shows.",
        description=DESCRIPTION,
        redirect_slashes=False,  # it would redirect to wherever the Host header says
        servers=[{"url": "."}],  # where the description is, below a proxy's path, too
        openapi_url=None,  # it would be written again for each request
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    for endpoint in endpoints:
        _add(app, service, endpoint)
    _describe(app, service, endpoints)
    _answer_head(app)
    _add_problems(app)
    short = Shortcut.of(endpoints, service, app)
    guarded = service.access.before(CanonicalPath(short), CanonicalPath(app), opened(endpoints))
    return service.access.below(observed(guarded, service, endpoints))


def _add(app: FastAPI, service: Service, endpoint: Endpoint) -> None:
    """Add one endpoint to the framework's routes."""
    answer = endpoint.bind(service)

    async def handle(request: Request) -> Response:
        return await answer(request)

    parameters = {"parameters": [*endpoint.parameters]} if endpoint.parameters else {}
    body = {"requestBody": endpoint.body} if endpoint.body else {}
    app.add_api_route(
        endpoint.path,
        handle,
        methods=[endpoint.method],
        operation_id=endpoint.name or endpoint.answer.__name__,
        summary=endpoint.summary,
        tags=[*endpoint.tags],
        response_class=Response if endpoint.model is None else JSONResponse,
        response_model=endpoint.model,
        responses=endpoint.responses,
        openapi_extra={**parameters, **body},
        include_in_schema=bool(endpoint.summary),
    )


def _describe(app: FastAPI, service: Service, endpoints: Iterable[Endpoint]) -> None:
    """Write what ``/openapi.json`` answers with."""
    description = app.openapi()
    finish(description, endpoints, service.access)
    app.state.description = orjson.dumps(description)


def _answer_head(app: FastAPI) -> None:
    """HEAD wherever there is GET (RFC 9110, 9.1); the server leaves the answer's body out."""
    for route in app.routes:
        if isinstance(route, APIRoute) and route.methods and "GET" in route.methods:
            route.methods.add("HEAD")


def _add_problems(app: FastAPI) -> None:
    """Answer each error of an endpoint or the framework with a problem document."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return refusal_response(request, error)

    async def unrouted(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return http_exception_response(request, error)

    async def failed(request: Request, error: Exception) -> Response:
        release_frames(error)  # Observe logs it; nothing of it may reach the client
        return internal_error_response(request)

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, unrouted)
