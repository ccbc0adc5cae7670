"""Adapts an application to the proxy of Ray Serve, which is not our own server."""

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.web.request_state import RequestState, attach

REQUEST_ID = b"x-request-id"


class Proxied:
    """Pure ASGI middleware. ``application`` returns the application that answers a request.

    When a client disconnects, Serve cancels the request's task. The application is notified as by
    our own server: it drops the image and counts a disconnected client, not an error of ours.

    The proxy adds the request id, its own or the client's, to the request and the answer. So the
    application's X-Request-Id header is removed here, or the answer would have two.
    """

    def __init__(self, application: Callable[[], ASGIApp]) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        state = attach(scope, RequestState(time.monotonic()))
        answering = asyncio.ensure_future(self.application()(scope, receive, _without_id(send)))
        try:
            await asyncio.shield(answering)
        except asyncio.CancelledError:
            state.disconnect()
            await answering  # it ends soon: its work is cancelled


async def _live(receive: Receive, send: Send) -> None:
    """Answer the lifespan messages at once: the replica itself starts and stops the service."""
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


def _without_id(send: Send) -> Send:
    async def send_without_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            message["headers"] = [field for field in headers if field[0] != REQUEST_ID]
        await send(message)

    return send_without_id
