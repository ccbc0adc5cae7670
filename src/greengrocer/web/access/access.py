"""What stands before the routes: keys, limits, other origins, proxies, and which paths exist."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from greengrocer.serving.limits import Limiter, Rate
from greengrocer.web.access.address import as_seen
from greengrocer.web.access.guard import Guard
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.problems import http_exception_response

SENT = ("Authorization", "Inference-Header-Content-Length", "X-Deadline-Ms", "X-Request-Id")
TOLD = (
    "Inference-Header-Content-Length",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Class",
    "X-Gallery",
    "X-Request-Id",
)
METRICS = "/metrics"
THERE = frozenset({METRICS, "/livez", "/readyz"})


# A letter, a digit, one of - . _ or a slash that is percent-encoded. Our paths need none of that,
# while what a version of a model may have, such as +, may well be.
NEEDLESS = re.compile(rb"%(?:2[DEF]|3\d|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A])", re.IGNORECASE)
# In no path of ours. The framework's patterns end with $, which a line feed may follow.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class MetricsPort:
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


class CanonicalPath:
    """Pure ASGI middleware: a path that need not be encoded as it is, such as /%6detrics, is none.

    A proxy that keeps /metrics away compares, as a rule, what the client wrote. To the framework
    both would be the same. A path with a control character, such as /metrics%0A, is none either.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        fault = _fault(scope) if scope["type"] == "http" else None
        if fault is None:
            await self.app(scope, receive, send)
            return
        error = HTTPException(404, f"there is no such path: {fault}")
        await http_exception_response(Request(scope), error)(scope, receive, send)


def _fault(scope: Scope) -> str | None:
    """What is wrong with the spelling of a request's path."""
    if needless := NEEDLESS.search(scope.get("raw_path") or b""):
        written = needless.group().decode()
        return f"write {chr(int(written[1:], 16))} in it, not {written}"
    if control := CONTROL.search(scope["path"]):
        return f"it has the control character %{ord(control.group()):02X}"
    return None


@dataclass(frozen=True)
class Access:
    """Who may do what. By default everyone may do everything that there is a route for."""

    keys: KeyFile | None = None
    limiter: Limiter | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-For is believed
    cors_origins: tuple[str, ...] = ()
    metrics_port: int | None = None

    def before(self, app: ASGIApp, routes: ASGIApp) -> ASGIApp:
        """``app`` behind what is asked for; ``routes`` is what answers on the metrics' port."""
        if self.keys is not None or self.limiter is not None:
            app = Guard(app, self.keys, self.limiter, self.rates)
        if self.cors_origins:  # browsers ask for leave without a key, and want to read refusals
            app = CORSMiddleware(
                app,
                self.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=SENT,
                expose_headers=TOLD,
            )
        if self.trusted_proxies:
            app = ProxyHeadersMiddleware(app, as_seen(self.trusted_proxies))  # type: ignore[assignment,arg-type]
        if self.metrics_port is not None:
            app = MetricsPort(app, routes, self.metrics_port)
        return app
