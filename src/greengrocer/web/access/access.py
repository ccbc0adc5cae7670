"""What runs before the routes: API keys, rate limits, CORS, trusted proxies, the metrics port."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.errors import RateLimited, Refusal, Unauthorized
from greengrocer.serving.rate_limits import Rate, RateLimiter, RateLimitState, Rates
from greengrocer.web.access.address import ForwardedFor, Networks, address_of, as_seen
from greengrocer.web.access.below_path import BelowPath
from greengrocer.web.access.keys import KeyFile
from greengrocer.web.problems import http_exception_response, refusal_response
from greengrocer.web.request_state import state_of

ALLOWED_HEADERS = (
    "Authorization",
    "Inference-Header-Content-Length",
    "Traceparent",
    "Tracestate",
    "X-Deadline-Ms",
    "X-Request-Id",
    "X-Split-Key",
)
EXPOSED_HEADERS = (
    "Inference-Header-Content-Length",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Traceresponse",
    "X-Class",
    "X-Gallery",
    "X-Request-Id",
)
METRICS = "/metrics"
ON_METRICS_PORT = frozenset({METRICS, "/livez", "/readyz"})


# A percent-encoded letter, digit, slash or one of - . _: none of our paths needs that. Other
# characters may be encoded: the version of a model may have a +.
NEEDLESS = re.compile(rb"%(?:2[DEF]|3\d|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A])", re.IGNORECASE)
# No path of ours has one. The framework's patterns end with $, which a line feed may follow.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class MetricsPort:
    """Pure ASGI middleware: serves metrics and probes on ``port``, to everyone who reaches it.

    On that port ``app`` answers them. On all others ``service`` answers, without the metrics.
    """

    def __init__(self, service: ASGIApp, app: ASGIApp, port: int) -> None:
        self.service = service
        self.app = app
        self.port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        server = scope.get("server")
        on_metrics_port = server is not None and server[1] == self.port
        if on_metrics_port and scope["path"] in ON_METRICS_PORT:
            await self.app(scope, receive, send)
        elif on_metrics_port or scope["path"] == METRICS:
            request, error = Request(scope), HTTPException(404)
            await http_exception_response(request, error)(scope, receive, send)
        else:
            await self.service(scope, receive, send)


class CanonicalPath:
    """Pure ASGI middleware: answers 404 to a path that is not in its canonical form.

    /%6detrics is encoded without need. A proxy that blocks /metrics usually compares what the
    client wrote, and would let it pass; the framework would decode it and answer. A path with a
    control character, such as /metrics%0A, is refused for the same reason.
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
    """Why a request's path is not canonical; None where it is."""
    if needless := NEEDLESS.search(scope.get("raw_path") or b""):
        written = needless.group().decode()
        return f"write {chr(int(written[1:], 16))} in it, not {written}"
    if control := CONTROL.search(scope["path"]):
        return f"its path has the control character %{ord(control.group()):02X}"
    return None


class Guard:
    """Pure ASGI middleware: checks API keys and rate limits before a request is read.

    Open paths need no key and are not counted.

    The rate-limit headers are those of draft-ietf-httpapi-ratelimit-headers-10.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyFile | None,
        limiter: RateLimiter | None,
        rates: Rates,
        is_open: Callable[[str], bool],
    ) -> None:
        self.app = app
        self.keys = keys
        self.limiter = limiter
        self.is_open = is_open
        policies = (f'"{name}";q={rate.requests};w={rate.seconds}' for name, rate in rates.items())
        self.policy = (b"ratelimit-policy", ", ".join(policies).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or self.is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        state = state_of(scope)
        try:
            name = state.key_name = self.keys.name_of(scope["headers"]) if self.keys else None
            if self.limiter is not None:
                address = address_of(scope)
                states = await self.limiter.take(address, name)
                send = self._with_headers(states, send)
                _check_limits(states)  # before the key: guesses are limited, too
                state.charge = partial(_charge, self.limiter, address, name)
            if self.keys is not None and name is None:
                raise _no_key(scope)
        except Refusal as refusal:
            await refusal_response(Request(scope), refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _with_headers(self, states: tuple[RateLimitState, ...], send: Send) -> Send:
        """``send``, with the rate-limit headers in the answer's head."""
        remaining = (b"ratelimit", ", ".join(map(_header, states)).encode())
        headers = (self.policy, remaining) if states else (self.policy,)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        return send_with_headers


async def _charge(limiter: RateLimiter, address: str, name: str | None) -> None:
    """Count a further image of a request as a request of its own; raises RateLimited."""
    _check_limits(await limiter.take(address, name))


def _check_limits(states: tuple[RateLimitState, ...]) -> None:
    """Raise RateLimited where a limit is used up."""
    for limit, _, reset, wait in states:
        if wait:
            seconds = math.ceil(wait)
            detail = f"the rate limit of this {limit} is used up: retry in {seconds} seconds"
            raise RateLimited(detail, seconds, math.ceil(reset))


def _no_key(scope: Scope) -> Unauthorized:
    if any(header == b"authorization" for header, _ in scope["headers"]):
        return Unauthorized("the API key is unknown: send a valid one as Authorization: Bearer KEY")
    return Unauthorized("this path needs an API key: send it as Authorization: Bearer KEY")


def _header(standing: RateLimitState) -> str:
    return f'"{standing.limit}";r={standing.remaining};t={math.ceil(round(standing.reset, 3))}'


@dataclass(frozen=True)
class Access:
    """Who may send requests, and how many. By default everyone may use every route."""

    keys: KeyFile | None = None
    limiter: RateLimiter | None = None
    rates: Mapping[str, Rate] = field(default_factory=dict)
    trusted_proxies: tuple[str, ...] = ()  # whose X-Forwarded-... is trusted
    root_path: str = ""  # the path of a site below which the service is
    cors_origins: tuple[str, ...] = ()
    metrics_port: int | None = None

    def below(self, app: ASGIApp) -> ASGIApp:
        """``app`` below the root path, or the path that a trusted proxy names, where there is one.

        It is the outermost layer: all others see paths as if the service had a site of its own.
        """
        if not self.root_path and not self.trusted_proxies:
            return app
        return BelowPath(app, self.root_path, Networks(self.trusted_proxies))

    def before(self, app: ASGIApp, routes: ASGIApp, is_open: Callable[[str], bool]) -> ASGIApp:
        """``app`` behind what is configured; ``routes`` answers on the metrics port.

        ``is_open`` says of a path whether it needs no key and counts against no limit.
        """
        if self.keys is not None or self.limiter is not None:
            app = Guard(app, self.keys, self.limiter, self.rates, is_open)
        if self.cors_origins:  # outside Guard: preflights have no key, scripts read refusals
            app = CORSMiddleware(
                app,
                self.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=ALLOWED_HEADERS,
                expose_headers=EXPOSED_HEADERS,
            )
        if self.trusted_proxies:
            app = ForwardedFor(app, as_seen(self.trusted_proxies))  # type: ignore[arg-type]
        if self.metrics_port is not None:
            app = MetricsPort(app, routes, self.metrics_port)
        return app
