"""Metrics on a port of their own."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.web.problems import http_exception_response

METRICS = "/metrics"
THERE = frozenset({METRICS, "/livez", "/readyz"})


class MetricsApart:
    """ASGI middleware: on the port ``port`` are the metrics and the probes, for everyone there.

    ``service`` is what all other ports have, but for the metrics; ``app`` has both.
    """

    def __init__(self, service: ASGIApp, app: ASGIApp, port: int) -> None:
        self.service = service
        self.app = app
        self.port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        server = scope.get("server")
        apart = server is not None and server[1] == self.port
        if apart and scope["path"] in THERE:
            await self.app(scope, receive, send)
        elif apart or scope["path"] == METRICS:
            request, error = Request(scope), HTTPException(404)
            await http_exception_response(request, error)(scope, receive, send)
        else:
            await self.service(scope, receive, send)
