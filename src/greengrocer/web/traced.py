"""A span for every request, with the attributes of OpenTelemetry's conventions for HTTP servers.

The query is left out: a client may have put a secret there.
"""

import time
from collections.abc import Callable, Collection

from opentelemetry.semconv.attributes.client_attributes import CLIENT_ADDRESS
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import (
    HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL,
    HTTP_RESPONSE_STATUS_CODE,
    HTTP_ROUTE,
)
from opentelemetry.semconv.attributes.network_attributes import NETWORK_PROTOCOL_VERSION
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_PATH, URL_SCHEME
from opentelemetry.semconv.attributes.user_agent_attributes import USER_AGENT_ORIGINAL
from opentelemetry.trace import Span, StatusCode
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.telemetry.inference_attributes import REFUSED, REQUEST_ID
from greengrocer.telemetry.spans import Spans
from greengrocer.web.access.address import shown_address
from greengrocer.web.endpoint import UNMATCHED
from greengrocer.web.request_state import KEY, RequestState, seen_path, state_of

METHODS = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
OTHER = "_OTHER"  # a method, or an error, that the conventions have no name for
LONGEST = 256  # characters of a text that a client sent


class Traced:
    """Pure ASGI middleware: a span for each request but those of ``quiet`` paths.

    The answer names it in the header ``traceresponse``, as W3C's draft has it.
    """

    def __init__(
        self,
        app: ASGIApp,
        spans: Spans,
        route_of: Callable[[str], str],
        quiet: Collection[str],
        log_addresses: bool,
    ) -> None:
        self.app = app
        self.spans = spans
        self.route_of = route_of
        self.quiet = quiet
        self.log_addresses = log_addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] in self.quiet:
            await self.app(scope, receive, send)
            return
        arrived = state_of(scope).arrived if KEY in scope else time.monotonic()
        attributes = _of_request(scope)
        name = attributes[HTTP_REQUEST_METHOD].replace(OTHER, "HTTP")
        with self.spans.request(name, scope["headers"], attributes, arrived) as span:
            header = (b"traceresponse", _traceresponse(span))
            status = 0

            async def send_traced(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    message["headers"] = [*message.get("headers", ()), header]
                await send(message)

            try:
                await self.app(scope, receive, send_traced)
            finally:
                if span.is_recording():
                    self._finish(span, name, scope, status)

    def _finish(self, span: Span, method: str, scope: Scope, status: int) -> None:
        """Note what is known once the request is answered."""
        route = self.route_of(scope["path"])
        if route != UNMATCHED:
            span.update_name(f"{method} {route}")
            span.set_attribute(HTTP_ROUTE, route)
        span.set_attributes(_of_connection(scope))
        if self.log_addresses:
            span.set_attribute(CLIENT_ADDRESS, shown_address(scope.get("client")))
        state: RequestState | None = scope.get(KEY)
        refused = state.refused if state is not None else None
        if state is not None:
            span.set_attribute(REQUEST_ID, state.request_id)
        if refused:
            span.set_attribute(REFUSED, refused)
        if status:
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
        if not status or status >= 500:
            span.set_attribute(ERROR_TYPE, refused or (str(status) if status else OTHER))
            span.set_status(StatusCode.ERROR)


def _of_request(scope: Scope) -> dict[str, str]:
    """The attributes by which a request may be sampled."""
    method: str = scope["method"]
    known = method in METHODS
    return {
        HTTP_REQUEST_METHOD: method if known else OTHER,
        **({} if known else {HTTP_REQUEST_METHOD_ORIGINAL: method[:LONGEST]}),
        URL_PATH: seen_path(scope)[:LONGEST],
        URL_SCHEME: scope["scheme"],
    }


def _of_connection(scope: Scope) -> dict[str, str | int]:
    agents = [value for name, value in scope["headers"] if name == b"user-agent"]
    agent = {USER_AGENT_ORIGINAL: agents[0][:LONGEST].decode("latin-1")} if agents else {}
    host, port = scope.get("server") or ("", None)
    server = {SERVER_ADDRESS: host, SERVER_PORT: port} if port else {}
    return {NETWORK_PROTOCOL_VERSION: scope["http_version"], **agent, **server}


def _traceresponse(span: Span) -> bytes:
    at = span.get_span_context()
    return b"00-%032x-%016x-%02x" % (at.trace_id, at.span_id, at.trace_flags)
