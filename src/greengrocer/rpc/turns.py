"""Turns to receive a message. gRPC receives it as a whole, so their number bounds the memory."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from greengrocer.errors import DeadlineExceeded, Overloaded, SlowUpload

RETRY_SECONDS = 1
HASTE_SECONDS = 0.2  # a short message comes with its call; a busy process may see it later
HASTY_WAITING = 128

M = TypeVar("M")


class Turns:
    """``at_once`` messages are received at once, each within ``seconds`` of its turn.

    A call waits as long for its turn. Where the messages are ``short``, a turn in which none comes
    ends soon if others wait for it. The newest of them is next, and the oldest is given up where
    they become many: so however many send nothing, one who does send is served at once.
    """

    def __init__(self, at_once: int, seconds: float, *, short: bool = False) -> None:
        self._free = at_once
        self._seconds = seconds
        self._short = short
        self._waiting: list[asyncio.Future[None]] = []
        self._clocks: dict[asyncio.Timeout, float] = {}  # of each turn, and when that began

    async def receive(self, read: Callable[[], Awaitable[M]], end: float) -> M:
        """What ``read`` gives in a turn; ``end`` is the client's deadline, in monotonic seconds.

        Raises Overloaded, SlowUpload or DeadlineExceeded.
        """
        await self._turn(end)
        loop = asyncio.get_running_loop()
        began, left = loop.time(), end - time.monotonic()
        patience = min(self._seconds, left)
        clock = asyncio.timeout(patience)
        try:
            async with clock:
                self._clocks[clock] = began
                self._hurry()
                return await read()
        except TimeoutError:
            if (clock.when() or 0.0) < began + patience:  # others were in a hurry
                raise Overloaded(
                    "other calls wait, and no message came with this one: call again",
                    RETRY_SECONDS,
                ) from None
            if left < self._seconds:
                raise DeadlineExceeded("the deadline passed before the upload ended") from None
            raise SlowUpload(
                f"the upload is too slow: the message did not come in {self._seconds:g} seconds"
            ) from None
        finally:
            self._clocks.pop(clock, None)
            self._pass_on()

    async def _turn(self, end: float) -> None:
        """Wait for a turn."""
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._hurry()
        left = end - time.monotonic()
        try:
            async with asyncio.timeout(min(self._seconds, left)):
                await turn
        except TimeoutError:
            self._give_back(turn)
            if left < self._seconds:
                raise DeadlineExceeded("the deadline passed before the upload began") from None
            raise _too_many() from None
        except BaseException:
            self._give_back(turn)
            raise

    def _hurry(self) -> None:
        """Let the turns of others end soon, where somebody waits for one."""
        if not self._short or not self._waiting:
            return
        for clock, began in self._clocks.items():
            soon = began + HASTE_SECONDS
            if not clock.expired() and (clock.when() or 0.0) > soon:
                clock.reschedule(soon)
        if len(self._waiting) > HASTY_WAITING:
            oldest = self._waiting.pop(0)
            if not oldest.done():
                oldest.set_exception(_too_many())

    def _give_back(self, turn: "asyncio.Future[None]") -> None:
        """Leave the queue; a turn that came meanwhile is another's."""
        with suppress(ValueError):
            self._waiting.remove(turn)
            return
        if not turn.cancelled() and turn.exception() is None:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give a turn that has ended to who is next."""
        while self._waiting:
            turn = self._waiting.pop(-1 if self._short else 0)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


def _too_many() -> Overloaded:
    return Overloaded("too many calls send their messages now: call again later", RETRY_SECONDS)
