"""The memory for decoding images, shared by all threads of a process."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from greengrocer.context import Context
from greengrocer.errors import Overloaded
from greengrocer.tracebacks import release_frames

LARGE = 1 / 8  # of the capacity: more makes an image a large one
FIRST_SECONDS = 1.0  # for which a large image has memory, before any has been measured
SMOOTHING = 0.2  # weight of the newest one in the mean


class MustWait(Exception):  # no error: it gives the thread back
    """There is no memory for an image yet; its ``reservation`` waits in line without a thread."""

    def __init__(self, reservation: "Reservation") -> None:
        super().__init__("there is no memory for the image yet")
        self.reservation = reservation


class DecodeBudget:
    """At most ``capacity`` bytes are reserved at once; an image that needs more waits in line.

    At most ``large_at_once`` large images have memory, so that threads remain for the others. While
    one has it, small images pass the large ones that wait. A large image that would wait for longer
    than ``wait_seconds`` is refused, if it waits without a thread and is not patient. ``on_change``
    is called with the reserved bytes whenever they change, from any thread.
    """

    def __init__(
        self,
        capacity: int,
        on_change: Callable[[int], object] = lambda _: None,
        large_at_once: float = math.inf,
        wait_seconds: float = math.inf,
    ) -> None:
        self.capacity = capacity
        self.used = 0
        self._large = 0  # images that have memory
        self._large_seconds = FIRST_SECONDS  # for which one has it, on average
        self._wait_seconds = wait_seconds
        self._large_at_once = large_at_once
        self._on_change = on_change
        self._lock = threading.Lock()
        self._line: deque[Reservation] = deque()

    def reserve(self, amount: int, context: Context) -> "Reservation":
        """A context manager that holds ``amount`` bytes, or the whole capacity if that is less.

        Entering it waits for them. Raises DeadlineExceeded or ClientDisconnected, as ``context``
        does; or MustWait or Overloaded, where it may not wait in the thread. It is the reservation
        of ``context``, if that has waited for one.
        """
        waited, context.reservation = context.reservation, None
        if isinstance(waited, Reservation):
            return waited
        amount = min(amount, self.capacity)
        return Reservation(self, amount, context, is_large=amount > LARGE * self.capacity)

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._line)

    def check_wait(self) -> None:
        """Raise Overloaded where the last large image in line would wait for too long."""
        with self._lock:
            ahead = sum(each.is_large for each in self._line)
            wait = ahead * self._large_seconds / max(1, self._large)
        if wait > self._wait_seconds:
            raise Overloaded(
                f"large images wait to be decoded: this one would wait {wait:.1f} seconds; "
                "retry later",
                math.ceil(wait),
            )

    def enter(self, reservation: "Reservation") -> bool:
        """Take the bytes of ``reservation`` or wait in line for them; True if they are held."""
        with self._lock:
            if not reservation.held:
                self._line.append(reservation)
                self._admit()
            reservation.in_use = reservation.held
            return reservation.held

    def leave(self, reservation: "Reservation", unused: bool = False) -> None:
        """Give the bytes of ``reservation`` back, or leave the line; twice does no harm.

        With ``unused`` it keeps the bytes if a thread uses them.
        """
        with self._lock:
            if reservation.held and not (unused and reservation.in_use):
                self.used -= reservation.amount
                if reservation.is_large:
                    self._large -= 1
                    seconds = time.monotonic() - reservation.since
                    self._large_seconds += SMOOTHING * (seconds - self._large_seconds)
                reservation.held = reservation.in_use = False
            elif reservation in self._line:
                self._line.remove(reservation)
            self._admit()
            self._on_change(self.used)

    def _admit(self) -> None:
        """Grant reservations in line while there is room: see the class.

        Where no large image has memory nobody passes a large one, or it might wait for ever.
        """
        passed = False
        for reservation in tuple(self._line):
            is_large = reservation.is_large
            fits = self.used + reservation.amount <= self.capacity
            if fits and not (is_large and (passed or self._large >= self._large_at_once)):
                self._line.remove(reservation)
                self.used += reservation.amount
                if is_large:
                    self._large += 1
                    reservation.since = time.monotonic()
                reservation.held = True
                self._on_change(self.used)
                reservation.wake()
            elif is_large and self._large:
                passed = True
            else:
                return


class Reservation:
    """The bytes for one image; used by ``with``."""

    __slots__ = ("_budget", "_context", "amount", "held", "in_use", "is_large", "since", "wake")

    def __init__(
        self, budget: DecodeBudget, amount: int, context: Context, *, is_large: bool
    ) -> None:
        self.amount = amount
        self.is_large = is_large
        self.held = False
        self.in_use = False  # by a thread
        self.since = 0.0  # when a large image got its bytes, in monotonic seconds
        self.wake: Callable[[], object] = lambda: None  # called once the bytes are held
        self._budget = budget
        self._context = context

    def __enter__(self) -> None:
        if self._budget.enter(self):
            return
        context = self._context
        if not context.waits_in_thread:
            context.on_cancel = self.abandon
            if context.cancelled:  # before that was set
                self.abandon()
            try:
                if self.is_large and not context.patient:
                    self._budget.check_wait()
            except Overloaded:
                self.abandon()
                raise
            raise MustWait(self)
        try:
            self._wait()
        except BaseException:
            self.release()
            raise

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if self.held:
            if error is not None:
                release_frames(error)  # its frames hold the memory that is given back
            self.release()

    def release(self) -> None:
        """Give the bytes back, before the ``with`` block ends."""
        self._budget.leave(self)

    def abandon(self) -> None:
        """Give the bytes back, or leave the line; bytes that a thread uses it gives back itself."""
        self._budget.leave(self, unused=True)

    async def wait(self) -> None:
        """Wait on the event loop until the bytes are held; raises ClientDisconnected."""
        loop, context, woken = asyncio.get_running_loop(), self._context, asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(woken.set)

        self.wake = context.on_cancel = wake
        try:
            if not (self.held or context.cancelled):  # before they were set
                await woken.wait()
        finally:
            context.on_cancel = None
        if context.cancelled:
            self.abandon()
            context.check()

    def _wait(self) -> None:
        context, woken = self._context, threading.Event()
        self.wake = context.on_cancel = woken.set
        try:
            while not self.held:
                context.check()
                left = context.remaining()
                woken.wait(None if left > threading.TIMEOUT_MAX else left)
        finally:
            context.on_cancel = None
