"""The application that answers calls: the layers of HTTP's around the endpoints of gRPC."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.rpc import health, reflection
from greengrocer.rpc.endpoints import OPEN_INFERENCE
from greengrocer.web.endpoint import Endpoint, opened
from greengrocer.web.observe import observed
from greengrocer.web.problems import http_exception_response
from greengrocer.web.service import Service
from greengrocer.web.shortcut import Shortcut
from greengrocer.web.wire.head import Headers, Refused, check_single

BREAKS_LINES = re.compile(rb"[\0\r\n]")
ENDPOINTS: tuple[Endpoint, ...] = (*OPEN_INFERENCE, health.CHECK)


def create_rpc_app(service: Service) -> ASGIApp:
    """The ASGI application of gRPC's methods over ``service``; it takes scopes of a Call."""
    endpoints = (*ENDPOINTS, health.WATCH, reflection.ALLOWED)
    short = Shortcut.of(endpoints, service, _unknown)
    guarded = service.access.before(short, _unknown, opened(endpoints))
    return observed(_checked(guarded), service, endpoints)


def _checked(app: ASGIApp) -> ASGIApp:
    """``app`` for calls whose metadata are headers that HTTP accepts; answers 400 to others."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        fault = _fault(scope["headers"])
        if fault is None:
            await app(scope, receive, send)
            return
        error = HTTPException(400, fault)
        await http_exception_response(Request(scope), error)(scope, receive, send)

    return answer


def _fault(headers: Headers) -> str | None:
    for name, value in headers:
        if BREAKS_LINES.search(value):
            return f"the metadata {name.decode()} have a character that no header may have"
    try:
        check_single(headers)
    except Refused as refused:
        return refused.reason.detail
    return None


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404: gRPC itself refuses a method that is none of the endpoints'."""
    await http_exception_response(Request(scope), HTTPException(404))(scope, receive, send)
