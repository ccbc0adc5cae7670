"""A quantity with a capacity, such as bytes, and those who wait for some of it."""

from collections.abc import Callable

from greengrocer.context import Context
from greengrocer.serving.wait_queue import WaitQueue


class Budget:
    """A quantity with a capacity, such as bytes, and a queue of those who wait for some of it.

    ``on_change`` is called with what is taken whenever that changes.
    """

    def __init__(self, capacity: int, on_change: Callable[[int], object] = lambda _: None) -> None:
        self.capacity = capacity
        self.used = 0
        self._on_change = on_change
        self._queue = WaitQueue(self._take, self._give)

    @property
    def waiting(self) -> int:
        """How many wait for some of it."""
        return len(self._queue)

    def take(self, amount: int) -> bool:
        """Take ``amount`` and return True, or return False if too little is free or others wait."""
        return self._queue.take(amount)

    def take_first(self, amount: int) -> bool:
        """Take ``amount`` ahead of those who wait, or return False if too little is free."""
        return self._take(amount)

    async def wait(self, amount: int, context: Context) -> None:
        """Take ``amount`` in turn; raises DeadlineExceeded or ClientDisconnected."""
        await self._queue.wait(amount, context)

    def give(self, amount: int) -> None:
        """Give ``amount`` back."""
        self._give(amount)
        self._queue.advance()

    def _take(self, amount: int) -> bool:
        if self.used + amount > self.capacity:
            return False
        self.used += amount
        self._on_change(self.used)
        return True

    def _give(self, amount: int) -> None:
        self.used -= amount
        self._on_change(self.used)


class PartialBudget(Budget):
    """A part of another budget: what is taken of it is taken of the whole as well."""

    def __init__(self, whole: Budget, capacity: int) -> None:
        super().__init__(capacity)
        self._whole = whole

    def take(self, amount: int) -> bool:
        """Take ``amount`` of both, or return False if too little is free or others wait."""
        return self._with_whole(amount, super().take(amount), self._whole.take)

    def take_first(self, amount: int) -> bool:
        """Take ``amount`` of both ahead of those who wait, or return False."""
        return self._with_whole(amount, super().take_first(amount), self._whole.take_first)

    async def wait(self, amount: int, context: Context) -> None:
        """Take ``amount`` of both in turn; raises DeadlineExceeded or ClientDisconnected."""
        await super().wait(amount, context)
        try:
            await self._whole.wait(amount, context)
        except BaseException:
            super().give(amount)
            raise

    def give(self, amount: int) -> None:
        """Give ``amount`` back to both."""
        super().give(amount)
        self._whole.give(amount)

    def _with_whole(self, amount: int, taken: bool, take: Callable[[int], bool]) -> bool:
        """Take of the whole, too, what was taken of the part; if that fails, give it back."""
        if taken and not take(amount):
            super().give(amount)
            return False
        return taken
