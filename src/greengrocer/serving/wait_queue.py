"""A queue, on the event loop, for a quantity of which only so much is there."""

import asyncio
from collections import deque
from collections.abc import Callable

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded


class WaitQueue:
    """A first-come, first-served queue for a limited quantity.

    ``take`` takes an amount of it, or returns False if too little is free; ``give`` returns an
    amount. Call ``advance`` whenever more may be free: it admits the first in the queue.
    """

    def __init__(self, take: Callable[[int], bool], give: Callable[[int], None]) -> None:
        self._take = take
        self._give = give
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, amount: int) -> bool:
        """Take ``amount`` now, or return False if too little is free or others wait."""
        return not self._waiting and self._take(amount)

    async def wait(self, amount: int, context: Context) -> None:
        """Take ``amount`` in turn; raises DeadlineExceeded or ClientDisconnected."""
        if self.take(amount):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (turn, amount)
        self._waiting.append(place)
        context.on_cancel = turn.cancel
        try:
            async with asyncio.timeout(max(0.0, context.remaining())):
                context.check()
                await turn
        except BaseException as error:
            self._leave(place)
            context.check()
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    "the deadline passed in the queue: retry, or allow more time"
                ) from None
            raise
        finally:
            context.on_cancel = None

    def advance(self) -> None:
        """Admit the first in the queue, as long as there is room."""
        while self.admit_first():
            pass

    def admit_first(self) -> bool:
        """Admit the first who still waits; returns whether there was one, and room for it."""
        while self._waiting:
            turn, amount = self._waiting[0]
            gone = turn.done()
            if not gone:
                if not self._take(amount):
                    return False
                turn.set_result(None)
            self._waiting.popleft()
            if not gone:
                return True
        return False

    def _leave(self, place: tuple[asyncio.Future[None], int]) -> None:
        turn, amount = place
        if turn.done() and not turn.cancelled():  # it was admitted already
            self._give(amount)
        elif place in self._waiting:
            self._waiting.remove(place)
        self.advance()
