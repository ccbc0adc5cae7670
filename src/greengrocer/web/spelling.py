"""One spelling for each path, so that the rules of proxies catch it."""

import re

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from greengrocer.web.problems import http_exception_response

# A letter, a digit, one of - . _ or a slash that is percent-encoded. Our paths need none of that,
# while what a version of a model may have, such as +, may well be.
NEEDLESS = re.compile(rb"%(?:2[DEF]|3\d|4[1-9A-F]|5[0-9A]|5F|6[1-9A-F]|7[0-9A])", re.IGNORECASE)
# In no path of ours. The framework's patterns end with $, which a line feed may follow.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class OneSpelling:
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
