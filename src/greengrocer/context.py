"""The context of an image: its id, deadline, cancellation, and when its stages began."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from greengrocer.errors import ClientDisconnected, DeadlineExceeded

Clock = Callable[[], float]
# What happens to an image, in order. "end" is no stage: it says when the last one was over.
Stage = Literal["admit", "queue", "decode", "infer", "rank", "overlay", "end"]
Mark = tuple[Stage, float]  # a stage, and when it began


class Context:
    """One request's identity, deadline and cancellation, read from any thread.

    ``deadline`` is a time of ``clock`` (monotonic seconds); tests pass their own clock.
    ``on_cancel`` is called once, in the thread that cancels: it wakes a waiting thread or forwards
    the cancellation. A ``patient`` request waits for a place in the queue instead of being refused.
    One that ``waits_in_thread`` keeps its thread while it waits for memory; else ``reservation`` is
    what it waits for (imaging/budget.py), and it waits inside ``aside()``: it is in no queue then.
    Each of ``marks`` is a stage and when it began, in the order in which they began.
    """

    __slots__ = (
        *("_cancelled", "clock", "deadline", "marks", "on_cancel", "patient", "request_id"),
        *("aside", "reservation", "waits_in_thread"),
    )

    def __init__(
        self, request_id: str = "-", seconds: float = float("inf"), clock: Clock = time.monotonic
    ) -> None:
        self.request_id = request_id
        self.clock = clock
        self.deadline = clock() + seconds
        self.on_cancel: Callable[[], object] | None = None
        self.patient = False
        self.waits_in_thread = True
        self.reservation: object = None
        self.aside: Callable[[], AbstractContextManager[None]] = nullcontext
        self.marks: list[Mark] = []
        self._cancelled = False

    def begin(self, stage: Stage) -> float:
        """Note that ``stage`` begins, and the one before it ends; returns the time."""
        now = self.clock()
        self.marks.append((stage, now))
        return now

    def cancel(self) -> None:
        """Cancel the request: the client disconnected."""
        self._cancelled = True
        on_cancel, self.on_cancel = self.on_cancel, None
        if on_cancel is not None:
            on_cancel()

    @property
    def cancelled(self) -> bool:
        """Whether the client disconnected."""
        return self._cancelled

    def remaining(self) -> float:
        """Seconds until the deadline, negative once it has passed."""
        return self.deadline - self.clock()

    def check(self) -> None:
        """Raise ClientDisconnected if the request was cancelled, DeadlineExceeded if it is late."""
        if self._cancelled:
            raise ClientDisconnected("the client disconnected before its answer was ready")
        if self.remaining() <= 0:
            raise DeadlineExceeded
