"""The service below a path of a site: as the root path says, or a trusted proxy."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.web.access.address import Networks
from greengrocer.web.request_state import PREFIX

HEADER = b"x-forwarded-prefix"
# Segments without dots before, percent signs or anything that HTML or a header must escape.
VALID = re.compile(rb"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
LONGEST = 256  # bytes


class BelowPath:
    """Pure ASGI middleware: takes ``root_path`` off the paths of requests, where they have it.

    A proxy may remove the path itself, so a request without it is answered as well. What clients
    see is noted in the scope: the ``X-Forwarded-Prefix`` of one of ``proxies``, else ``root_path``.
    """

    def __init__(self, app: ASGIApp, root_path: str, proxies: Networks) -> None:
        self.app = app
        self.root_path = root_path
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            path = self._rest(scope["path"])
            scope = {**scope, "path": path, PREFIX: self._forwarded(scope) or self.root_path}
        await self.app(scope, receive, send)

    def _rest(self, path: str) -> str:
        """``path`` without the root path; / for the root path itself."""
        if not f"{path}/".startswith(f"{self.root_path}/"):
            return path
        return path.removeprefix(self.root_path) or "/"

    def _forwarded(self, scope: Scope) -> str:
        """What a trusted proxy says, where it is one valid path; else nothing."""
        said = [value for name, value in scope["headers"] if name == HEADER]
        if len(said) != 1 or scope.get("client") not in self.proxies:
            return ""
        value: bytes = said[0].removesuffix(b"/")
        return value.decode() if len(value) <= LONGEST and VALID.fullmatch(value) else ""
