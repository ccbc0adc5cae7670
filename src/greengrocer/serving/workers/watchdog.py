"""Kills an HTTP process whose event loop hangs, so that the supervisor replaces it."""

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HUNG_SECONDS = 30.0  # many times the longest step of a busy loop


class Watchdog:
    """ASGI middleware. A kernel timer kills the process unless the event loop resets it in time.

    The timer runs only while requests are in flight: idle processes stay idle.
    """

    def __init__(self, app: "ASGIApp", seconds: float = HUNG_SECONDS) -> None:
        self.app = app
        self.seconds = seconds
        self._in_flight = 0
        self._armed = False

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Handle one request."""
        self._in_flight += 1
        if not self._armed:
            self._put_off()
        try:
            await self.app(scope, receive, send)
        finally:
            self._in_flight -= 1

    def _put_off(self) -> None:
        """Reset the timer, or stop it if no request is in flight."""
        self._armed = self._in_flight > 0
        # SIGALRM's default action needs no Python, so it also works if a thread never yields.
        signal.setitimer(signal.ITIMER_REAL, self.seconds if self._armed else 0)
        if self._armed:
            asyncio.get_running_loop().call_later(self.seconds / 3, self._put_off)
