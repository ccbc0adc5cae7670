"""The way past the framework for the routes on which time counts."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.errors import Refusal
from greengrocer.tracebacks import release_frames
from greengrocer.web.problems import internal_error_response, refusal_response

Endpoint = Callable[[Request], Awaitable[Response]]


class Shortcut:
    """Answers ``endpoints``, by method and path, without the layers of ``app``.

    Those cost as much as all of our own HTTP together (docs/decisions/009). ``app`` has the same
    endpoints, describes them, and answers the same where the shortcut is left out.
    """

    def __init__(self, app: ASGIApp, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self.app = app
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        endpoint = None
        if scope["type"] == "http":
            endpoint = self.endpoints.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await endpoint(request)
        except Refusal as refusal:
            response = refusal_response(request, refusal)
        except Exception as error:
            release_frames(error)
            await internal_error_response(request)(scope, receive, send)
            raise  # to be logged
        await response(scope, receive, send)
