"""Before a request is read: whether it has a key, and whether its client may ask now."""

import math
from functools import partial

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greengrocer.errors import RateLimited, Refusal, Unauthorized
from greengrocer.serving.rate_limits import RateLimiter, RateLimitState, Rates
from greengrocer.web.access.address import address_of
from greengrocer.web.access.key_file import KeyFile
from greengrocer.web.problems import refusal_response

OPEN = frozenset({"/", "/livez", "/readyz"})
OPEN_BELOW = ("/page/", "/v2/health/")


class Guard:
    """Pure ASGI middleware. What is open is neither asked for a key nor counted.

    The headers of the limits are those of draft-ietf-httpapi-ratelimit-headers-10.
    """

    def __init__(
        self, app: ASGIApp, keys: KeyFile | None, limiter: RateLimiter | None, rates: Rates
    ) -> None:
        self.app = app
        self.keys = keys
        self.limiter = limiter
        policies = (f'"{name}";q={rate.requests};w={rate.seconds}' for name, rate in rates.items())
        self.policy = (b"ratelimit-policy", ", ".join(policies).encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        try:
            name = state["client"] = self.keys.name_of(scope["headers"]) if self.keys else None
            if self.limiter is not None:
                address = address_of(scope)
                states = await self.limiter.take(address, name)
                send = self._telling(states, send)
                _check_left(states)  # first: who tries keys is held up, too
                state["charge"] = partial(_charge, self.limiter, address, name)
            if self.keys is not None and name is None:
                raise _no_key(scope)
        except Refusal as refusal:
            await refusal_response(Request(scope), refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _telling(self, states: tuple[RateLimitState, ...], send: Send) -> Send:
        """``send``, with the limits and what is left of them in the answer's head."""
        left = (b"ratelimit", ", ".join(map(_told, states)).encode())
        told = (self.policy, left) if states else (self.policy,)

        async def send_telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *told]
            await send(message)

        return send_telling


def is_open(path: str) -> bool:
    """Whether ``path`` is for everyone, always: the page and the probes."""
    return path in OPEN or path.startswith(OPEN_BELOW)


async def _charge(limiter: RateLimiter, address: str, name: str | None) -> None:
    """Count a further image of a request as a request of its own; raises RateLimited."""
    _check_left(await limiter.take(address, name))


def _check_left(states: tuple[RateLimitState, ...]) -> None:
    """Raise RateLimited where nothing is left of a limit."""
    for limit, _, _, wait in states:
        if wait:
            seconds = math.ceil(wait)
            detail = f"this {limit} has no request left: ask again in {seconds} seconds"
            raise RateLimited(detail, seconds)


def _no_key(scope: Scope) -> Unauthorized:
    if any(header == b"authorization" for header, _ in scope["headers"]):
        return Unauthorized("the key is not known here: Authorization: Bearer KEY")
    return Unauthorized("send a key, with the header Authorization: Bearer KEY")


def _told(state: RateLimitState) -> str:
    return f'"{state.limit}";r={state.remaining};t={math.ceil(round(state.reset, 3))}'
