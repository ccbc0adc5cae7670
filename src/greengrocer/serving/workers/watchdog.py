"""Kills an HTTP process whose event loop hangs, so that the supervisor replaces it."""

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HUNG_SECONDS = 30.0  # many times the longest step of a busy loop


class Watchdog:
    """A kernel timer kills the process unless the event loop resets it in time.

    The timer runs only while requests are in flight: idle processes stay idle. A process has one
    timer, so all its applications have one watchdog.
    """

    def __init__(self, seconds: float = HUNG_SECONDS) -> None:
        self.seconds = seconds
        self._in_flight = 0
        self._armed = False

    def over(self, app: "ASGIApp") -> "ASGIApp":
        """``app``, whose requests are watched."""

        async def watched(scope: "Scope", receive: "Receive", send: "Send") -> None:
            self._in_flight += 1
            if not self._armed:
                self._put_off()
            try:
                await app(scope, receive, send)
            finally:
                self._in_flight -= 1

        return watched

    def _put_off(self) -> None:
        """Reset the timer, or stop it if no request is in flight."""
        self._armed = self._in_flight > 0
        # SIGALRM's default action needs no Python, so it also works if a thread never yields.
        signal.setitimer(signal.ITIMER_REAL, self.seconds if self._armed else 0)
        if self._armed:
            asyncio.get_running_loop().call_later(self.seconds / 3, self._put_off)
