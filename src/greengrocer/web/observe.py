"""The outermost layer: a request id, a log line and the metrics of every request."""

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from urllib.parse import quote

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.errors import NotReady
from greengrocer.telemetry.metrics import Metrics
from greengrocer.tracebacks import release_frames
from greengrocer.web.access.address import shown_address
from greengrocer.web.endpoint import Endpoint, routes_of
from greengrocer.web.headers import SAFE
from greengrocer.web.problems import refusal_response
from greengrocer.web.request_state import (
    KEY,
    DisconnectWatch,
    RequestState,
    attach,
    state_of,
)
from greengrocer.web.service import Service

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
STOPPING = NotReady("the service is stopping: send the request again later")

log = structlog.get_logger("greengrocer.http")


class Observe:
    """Pure ASGI middleware. A client's own ``X-Request-Id`` is kept where it is well formed."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        route_of: Callable[[str], str],
        quiet: frozenset[str],
        access_log: bool,
        log_addresses: bool,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.route_of = route_of
        self.quiet = quiet  # neither logged nor counted as in flight: probes and scrapes
        self.access_log = access_log
        self.log_addresses = log_addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if KEY in scope:
            await self._observe(scope, receive, send)
            return
        watch = DisconnectWatch(receive, attach(scope, RequestState(time.monotonic())))
        try:
            await self._observe(scope, watch.receive, send)
        finally:
            watch.stop()

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self.quiet:
            await self._handle(scope, receive, send)
            return
        state = state_of(scope)
        with state.held:
            with self.metrics.in_flight.track_inprogress():
                await self._handle(scope, receive, send)
            with suppress(asyncio.CancelledError):  # the drain time is over, as below
                await state.sent()

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = state_of(scope).request_id = request_id_of(scope["headers"])
        header = (b"x-request-id", request_id.encode())
        status = 0
        answered = False

        async def send_observed(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), header, *SAFE]
            await send(message)
            if message["type"] == "http.response.body":
                answered = not message.get("more_body", False)

        try:
            await self.app(scope, receive, send_observed)
        # The error was already answered with a problem document; here it is logged.
        except Exception as error:
            log.exception("failed", request_id=request_id, path=quote(scope["path"]))
            release_frames(error, logged=True)
            if not answered:
                raise  # the server closes the connection
        # The drain time is over. The error ends here: the server would log a traceback of it.
        except asyncio.CancelledError:
            if not status:
                await refusal_response(Request(scope), STOPPING)(scope, receive, send_observed)
        finally:
            self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path, state = scope["path"], state_of(scope)
        self.metrics.answered(self.route_of(path), status, seconds)
        client, refused = state.key_name, state.refused
        if refused:
            self.metrics.rejections.labels(refused).inc()
        if self.access_log and (path not in self.quiet or refused):
            log.info(
                "request",
                method=scope["method"],
                path=quote(path),  # a path may hold line breaks and terminal codes
                status=status,
                milliseconds=round(seconds * 1000, 2),
                request_id=state.request_id,
                # behind a trusted proxy, the client that the proxy names
                **({"address": shown_address(scope.get("client"))} if self.log_addresses else {}),
                **({"client": client} if client else {}),
                **({"refused": refused} if refused else {}),
            )


def observed(app: ASGIApp, service: Service, endpoints: Collection[Endpoint]) -> ASGIApp:
    """``app`` with metrics, a log line and, where they are asked for, traces of its requests."""
    route_of = routes_of(endpoints)
    quiet = frozenset(endpoint.path for endpoint in endpoints if endpoint.is_probe)
    addresses = service.log_addresses
    app = Observe(app, service.metrics, route_of, quiet, service.access_log, addresses)
    if service.traces is None:
        return app
    from greengrocer.web.traced import Traced  # noqa: PLC0415  # it needs the extra otel

    return Traced(app, service.traces, route_of, quiet, addresses)


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The request id that a client sent, if it is well formed; else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return secrets.token_hex(16)
