"""The memory that images take while they are decoded, shared by all threads of a process."""

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

from greengrocer.context import Context
from greengrocer.tracebacks import release_frames


class DecodeBudget:
    """At most ``capacity`` bytes are held at once; who finds too little left waits in line.

    ``told`` hears of the bytes that are held whenever they change, from any thread.
    """

    def __init__(self, capacity: int, told: Callable[[int], object] = lambda _: None) -> None:
        self.capacity = capacity
        self.used = 0
        self._told = told
        self._lock = threading.Lock()
        self._line: deque[Share] = deque()

    def share(self, amount: int, context: Context) -> "Share":
        """``amount`` bytes for the time of a ``with``; all there are, where that is more.

        The thread waits for them. Raises DeadlineExceeded or ClientDisconnected, as ``context``
        does.
        """
        return Share(self, min(amount, self.capacity), context)

    @property
    def waiting(self) -> int:
        """How many threads wait."""
        return len(self._line)

    def enter(self, share: "Share") -> bool:
        """Have a share, or stand in line for it."""
        with self._lock:
            self._line.append(share)
            self._admit()
            return share.held

    def leave(self, share: "Share") -> None:
        """Give a share back, or leave the line."""
        with self._lock:
            if share.held:
                self.used -= share.amount
                share.held = False
            else:
                self._line.remove(share)
            self._admit()
            self._told(self.used)

    def _admit(self) -> None:
        """Let those in who are first, while there is room."""
        while self._line and self.used + self._line[0].amount <= self.capacity:
            share = self._line.popleft()
            self.used += share.amount
            share.held = True
            self._told(self.used)
            share.woken.set()


class Share:
    """One image's part of the budget."""

    __slots__ = ("_budget", "_context", "amount", "held", "woken")

    def __init__(self, budget: DecodeBudget, amount: int, context: Context) -> None:
        self.amount = amount
        self.held = False
        self.woken = threading.Event()  # by room, or because nobody waits for the image any more
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
            release_frames(error)  # what is given back must be free
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
