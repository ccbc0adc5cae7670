"""Answers the hot endpoints without FastAPI."""

from collections.abc import Iterable, Mapping
from typing import Self

from starlette.requests import Request
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.errors import Refusal
from greengrocer.tracebacks import release_frames
from greengrocer.web.endpoint import Endpoint, Handler
from greengrocer.web.problems import internal_error_response, refusal_response
from greengrocer.web.service import Service


class Shortcut:
    """ASGI middleware: calls ``handlers``, by method and path, without the layers of ``app``.

    Those layers cost as much as all of our own HTTP code (docs/decisions/009). ``app`` has the same
    endpoints: it describes them, and answers the same without the shortcut. A path's parameters are
    texts, as ``{name}``.
    """

    def __init__(self, app: ASGIApp, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self.app = app
        self._exact = {key: each for key, each in handlers.items() if "{" not in key[1]}
        self._patterns = [
            (method, compile_path(path)[0], each)
            for (method, path), each in handlers.items()
            if "{" in path
        ]

    @classmethod
    def of(cls, endpoints: Iterable[Endpoint], service: Service, app: ASGIApp) -> Self:
        """A shortcut for those ``endpoints`` that are hot."""
        hot = (endpoint for endpoint in endpoints if endpoint.is_hot)
        return cls(app, {(each.method, each.path): each.bind(service) for each in hot})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        handler = self._find(scope) if scope["type"] == "http" else None
        if handler is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = refusal_response(request, refusal)
        except Exception as error:
            release_frames(error)
            await internal_error_response(request)(scope, receive, send)
            raise  # to be logged
        await response(scope, receive, send)

    def _find(self, scope: Scope) -> Handler | None:
        """What answers a hot request; notes the parameters of its path, if any, in its scope."""
        method, path = scope["method"], scope["path"]
        if (found := self._exact.get((method, path))) is not None:
            return found
        for each, pattern, handler in self._patterns:
            if each == method and (match := pattern.match(path)):
                scope["path_params"] = match.groupdict()
                return handler
        return None
