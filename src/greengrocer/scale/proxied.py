"""Between an application and the proxy of Ray Serve, which is not the server that we know."""

import asyncio
import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.web.request_state import RequestState, attach

REQUEST_ID = b"x-request-id"


class Proxied:
    """Pure ASGI middleware. ``application`` is asked for anew each time: at first there is none.

    When a client leaves, Serve cancels the request's task. The application is told as our own
    server tells it, so it drops the image and counts a client that left, not an error of ours.

    The proxy puts a request's id, which it made or the client chose, into request and answer: here
    it is left out, or it would be there twice.
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
            await answering  # soon: what it does is in vain, and what it reads has an end


async def _live(receive: Receive, send: Send) -> None:
    """Start and stop without more ado: the replica does what there is to do."""
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
