"""The application that answers calls: the layers of HTTP's around the endpoints of gRPC."""

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

ENDPOINTS: tuple[Endpoint, ...] = (*OPEN_INFERENCE, health.CHECK)


def create_rpc_app(service: Service) -> ASGIApp:
    """The ASGI application of gRPC's methods over ``service``; it takes scopes of a Call."""
    endpoints = (*ENDPOINTS, health.WATCH, reflection.ALLOWED)
    short = Shortcut.of(endpoints, service, _unknown)
    guarded = service.access.before(short, _unknown, opened(endpoints))
    return observed(guarded, service, endpoints)


async def _unknown(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404: gRPC itself refuses a method that is none of the endpoints'."""
    await http_exception_response(Request(scope), HTTPException(404))(scope, receive, send)
