"""The memory for decoding images, shared by all threads of a process."""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from greengrocer.context import Context
from greengrocer.tracebacks import release_frames


class DecodeBudget:
    """At most ``capacity`` bytes are reserved at once; a thread that needs more waits in line.

    ``on_change`` is called with the reserved bytes whenever they change, from any thread.
    """

    def __init__(self, capacity: int, on_change: Callable[[int], object] = lambda _: None) -> None:
        self.capacity = capacity
        self.used = 0
        self._on_change = on_change
        self._lock = threading.Lock()
        self._line: deque[Reservation] = deque()

    def reserve(self, amount: int, context: Context) -> "Reservation":
        """A context manager that holds ``amount`` bytes, or the whole capacity if that is less.

        Entering it waits for them. Raises DeadlineExceeded or ClientDisconnected, as ``context``
        does.
        """
        return Reservation(self, min(amount, self.capacity), context)

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._line)

    def enter(self, reservation: "Reservation") -> bool:
        """Take the bytes of ``reservation`` or wait in line for them; True if they are held."""
        with self._lock:
            self._line.append(reservation)
            self._admit()
            return reservation.held

    def leave(self, reservation: "Reservation") -> None:
        """Give the bytes of ``reservation`` back, or leave the line."""
        with self._lock:
            if reservation.held:
                self.used -= reservation.amount
                reservation.held = False
            else:
                self._line.remove(reservation)
            self._admit()
            self._on_change(self.used)

    def _admit(self) -> None:
        """Grant the first reservations in line, while there is room."""
        while self._line and self.used + self._line[0].amount <= self.capacity:
            reservation = self._line.popleft()
            self.used += reservation.amount
            reservation.held = True
            self._on_change(self.used)
            reservation.woken.set()


class Reservation:
    """The bytes for one image; used by ``with``."""

    __slots__ = ("_budget", "_context", "amount", "held", "woken")

    def __init__(self, budget: DecodeBudget, amount: int, context: Context) -> None:
        self.amount = amount
        self.held = False
        self.woken = threading.Event()  # when the bytes are held, or when the client disconnected
        self._budget = budget
        self._context = context

    def __enter__(self) -> None:
        if self._budget.enter(self):
            return
        try:
            self._wait()
        except BaseException:
            self._budget.leave(self)
            raise

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if error is not None:
            release_frames(error)  # its frames hold the memory that is given back
        self._budget.leave(self)

    def _wait(self) -> None:
        context = self._context
        context.on_cancel = self.woken.set
        try:
            while not self.held:
                context.check()
                left = context.remaining()
                self.woken.wait(None if left > threading.TIMEOUT_MAX else left)
        finally:
            context.on_cancel = None
