"""What travels with an image: whose it is, until when, and whether anybody still waits."""

import time
from collections.abc import Callable

from greengrocer.errors import DeadlineExceeded, Departed

Clock = Callable[[], float]


class Context:
    """One request's identity, deadline and cancellation, read from any thread.

    ``deadline`` is a moment of ``clock`` (monotonic seconds); tests set a clock of their own.
    ``on_cancel`` is called once, by whoever cancels: for whoever works for it elsewhere, or waits.
    A ``patient`` one waits for a place where others are refused.
    """

    __slots__ = ("_cancelled", "clock", "deadline", "on_cancel", "patient", "request_id")

    def __init__(
        self, request_id: str = "-", seconds: float = float("inf"), clock: Clock = time.monotonic
    ) -> None:
        self.request_id = request_id
        self.clock = clock
        self.deadline = clock() + seconds
        self.on_cancel: Callable[[], object] | None = None
        self.patient = False
        self._cancelled = False

    def cancel(self) -> None:
        """Say that nobody waits for the answer any more."""
        self._cancelled = True
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._cancelled

    def remaining(self) -> float:
        """Seconds until the deadline, negative once it has passed."""
        return self.deadline - self.clock()

    def check(self) -> None:
        """Raise Departed or DeadlineExceeded where going on would be in vain."""
        if self._cancelled:
            raise Departed("the client disconnected before its answer was ready")
        if self.remaining() <= 0:
            raise DeadlineExceeded(
                "the deadline passed before an answer was ready: retry, or allow more time"
            )
