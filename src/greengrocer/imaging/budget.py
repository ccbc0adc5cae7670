"""The memory for decoding images, shared by all threads of a process."""

import asyncio
import itertools
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
# For which an image has memory, a small one and a large one, before any has been measured.
FIRST_SECONDS = 0.1, 1.0
OLD_SECONDS = 1.0  # after which nobody waits for an image's memory, which it may keep, as in a hang
HUNG_SECONDS = 10.0  # more than an image has its memory, unless its thread hangs
SMOOTHING = 0.2  # weight of the newest one in the mean


class MustWait(Exception):  # no error: it gives the thread back
    """There is no memory for an image yet; its ``reservation`` waits in line without a thread."""

    def __init__(self, reservation: "Reservation") -> None:
        super().__init__("there is no memory for the image yet")
        self.reservation = reservation


class DecodeBudget:
    """At most ``capacity`` bytes are reserved at once; an image that needs more waits in line.

    At most ``large_at_once`` large images have memory, so that threads remain for the others. A
    small image passes those who wait where that does not delay the first of them: while that waits
    for a large one or for one that hangs, or where there is room for both. Once a large one gives
    its memory back, the small ones that wait come before the next large one.

    An image that would wait for longer than ``wait_seconds`` is refused, if it waits without a
    thread and is not patient. ``on_change`` is called with the reserved bytes whenever they change,
    from any thread.
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
        self._seconds = list(FIRST_SECONDS)  # running means, by whether an image is a large one
        self._large = 0  # images that have memory
        self._wait_seconds = wait_seconds
        self._large_at_once = large_at_once
        self._on_change = on_change
        self._lock = threading.Lock()
        self._held: set[Reservation] = set()
        self._line: deque[Reservation] = deque()

    def reserve(self, amount: int, context: Context) -> "Reservation":
        """A context manager that holds ``amount`` bytes, or the whole capacity if that is less.

        Entering it waits for them. Raises DeadlineExceeded or ClientDisconnected, as ``context``
        does; or MustWait or Overloaded, where it may not wait in the thread. It is the reservation
        of ``context``, if that has waited for one which is large enough.
        """
        amount = min(amount, self.capacity)
        waited, context.reservation = context.reservation, None
        if isinstance(waited, Reservation):
            if waited.amount >= amount:
                return waited
            waited.abandon()  # the model has changed meanwhile
        return Reservation(self, amount, context, is_large=amount > LARGE * self.capacity)

    @property
    def waiting(self) -> int:
        """How many images wait."""
        return len(self._line)

    def check_wait(self, reservation: "Reservation") -> None:
        """Raise Overloaded where one that was put in line would wait for too long."""
        with self._lock:
            if reservation not in self._line:  # it has its bytes by now, or is cancelled
                return
            wait = self._expected_wait(reservation)
        if wait > self._wait_seconds:
            raise Overloaded(
                "the memory for decoding is full: this image would wait "
                f"{wait:.1f} seconds for it; retry later",
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
                self._give_back(reservation)
            elif reservation in self._line:
                self._line.remove(reservation)
            self._admit()
            self._on_change(self.used)

    def _give_back(self, reservation: "Reservation") -> None:
        is_large = reservation.is_large
        self._held.remove(reservation)
        self.used -= reservation.amount
        seconds = time.monotonic() - reservation.since
        self._seconds[is_large] += SMOOTHING * (seconds - self._seconds[is_large])
        reservation.held = reservation.in_use = False
        if is_large:
            self._large -= 1
            self._line = deque(sorted(self._line, key=lambda each: each.is_large))

    def _admit(self) -> None:
        """Grant reservations in line while there is room: see the class."""
        spare = math.inf  # bytes for those who pass
        for reservation in tuple(self._line):
            passes = spare < math.inf
            may_pass = not reservation.is_large and reservation.amount <= spare
            if self._has_room(reservation) and (may_pass or not passes):
                self._line.remove(reservation)
                reservation.passed = passes
                self._grant(reservation)
                spare -= reservation.amount
            elif not passes:
                spare = self._spare_beside(reservation)

    def _spare_beside(self, first: "Reservation") -> int:
        """The bytes that others may take without delay for the first one in line."""
        now = time.monotonic()
        keeping = self._bytes_held(lambda each: each.is_large or now - each.since > HUNG_SECONDS)
        turns = first.is_large and self._large >= self._large_at_once
        if turns or first.amount + keeping > self.capacity:
            return self.capacity  # it waits for one of these; after a large one small ones are next
        staying = self._bytes_held(
            lambda each: each.is_large or each.passed or now - each.since > OLD_SECONDS
        )
        return self.capacity - first.amount - staying

    def _bytes_held(self, by: "Callable[[Reservation], bool]") -> int:
        return sum(each.amount for each in self._held if by(each))

    def _has_room(self, reservation: "Reservation") -> bool:
        if reservation.is_large and self._large >= self._large_at_once:
            return False
        return self.used + reservation.amount <= self.capacity

    def _grant(self, reservation: "Reservation") -> None:
        self._held.add(reservation)
        self.used += reservation.amount
        self._large += reservation.is_large
        reservation.since = time.monotonic()
        reservation.held = True
        self._on_change(self.used)
        reservation.wake()

    def _expected_wait(self, reservation: "Reservation") -> float:
        """Seconds until one in line has its bytes.

        As if those who come before it had theirs one after the other, each for as long as images
        have them on average, with all of the capacity in use.
        """
        now, seconds = time.monotonic(), self._seconds
        before = [
            (each, max(0.0, seconds[each.is_large] - (now - each.since))) for each in self._held
        ]
        ahead = itertools.takewhile(lambda each: each is not reservation, self._line)
        before += [
            (each, seconds[each.is_large])
            for each in ahead
            if reservation.is_large or not each.is_large
        ]
        wait = sum(each.amount * left for each, left in before) / self.capacity
        if not reservation.is_large:
            return wait
        turns = sum(left for each, left in before if each.is_large) / self._large_at_once
        return max(wait, turns)


class Reservation:
    """The bytes for one image; used by ``with``."""

    __slots__ = (
        *("_budget", "_context", "amount", "held", "in_use", "is_large"),
        *("passed", "since", "wake"),
    )

    def __init__(
        self, budget: DecodeBudget, amount: int, context: Context, *, is_large: bool
    ) -> None:
        self.amount = amount
        self.is_large = is_large
        self.held = False
        self.in_use = False  # by a thread
        self.passed = False  # someone who waits
        self.since = 0.0  # when it got its bytes, in monotonic seconds
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
                if not context.patient:
                    self._budget.check_wait(self)
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
