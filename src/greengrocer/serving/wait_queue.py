"""Who waits for room, first come first served, on one event loop."""

import asyncio
from collections import deque
from collections.abc import Callable

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded


class WaitQueue:
    """A line in front of something that ``take`` takes an amount of, or says that there is none.

    ``advance`` is to be called whenever there may be more of it: who is first is woken then.
    """

    def __init__(self, take: Callable[[int], bool], give: Callable[[int], None]) -> None:
        self._take = take
        self._give = give
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, amount: int) -> bool:
        """Take it now, if there is room and nobody waits for some."""
        return not self._waiting and self._take(amount)

    async def wait(self, amount: int, context: Context) -> None:
        """Take it as soon as it is our turn; raises DeadlineExceeded or ClientDisconnected."""
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
                raise DeadlineExceeded("the deadline passed before there was a place") from None
            raise
        finally:
            context.on_cancel = None

    def advance(self) -> None:
        """Let those in who are first, while there is room."""
        while self._waiting:
            turn, amount = self._waiting[0]
            if not turn.done():
                if not self._take(amount):
                    return
                turn.set_result(None)
            self._waiting.popleft()

    def _leave(self, place: tuple[asyncio.Future[None], int]) -> None:
        turn, amount = place
        if turn.done() and not turn.cancelled():  # its turn had come already
            self._give(amount)
        elif place in self._waiting:
            self._waiting.remove(place)
        self.advance()
