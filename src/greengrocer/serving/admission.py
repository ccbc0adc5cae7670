"""Who may come in: budgets of bytes and waiting time, not a mere count of requests.

All of it runs on the event loop, so there is nothing to lock.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from greengrocer.context import Context
from greengrocer.errors import DeadlineExceeded, Overloaded, Refusal

SMOOTHING = 0.05  # weight of the newest service time in the running mean


@dataclass(frozen=True)
class AdmissionLimits:
    """What may be in flight at once."""

    upload_bytes: int
    wait_seconds: float  # longest expected wait for a thread


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


class Budget:
    """A quantity that is taken and given back, and never exceeds its capacity."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._queue = WaitQueue(self._take, self._give)

    def take(self, amount: int) -> bool:
        """Take ``amount``, or nothing and return False where too little is left for who comes."""
        return self._queue.take(amount)

    def take_first(self, amount: int) -> bool:
        """The same, ahead of all who wait."""
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
        return True

    def _give(self, amount: int) -> None:
        self.used -= amount


class Admission:
    """Says yes, or no with the seconds after which asking again is worth while.

    Patient images, the further ones of a batch, wait in a line for a place, and are first when
    one is free. They fill at most half of the queue, so that batches leave room for others.
    """

    def __init__(self, limits: AdmissionLimits, threads: int, service_seconds: float) -> None:
        self.limits = limits
        self.threads = threads
        self.service_seconds = service_seconds  # running mean of an image's time in a thread
        self.pictures = 0
        self._patient = 0  # of them
        self._bytes = Budget(limits.upload_bytes)
        self._queue = WaitQueue(self._take_place, self._give_place)

    def expected_wait(self) -> float:
        """Seconds until a thread is free for an image that comes now."""
        return self._wait_behind(self.pictures)

    def retry_after(self) -> int:
        """Whole seconds until what is in flight has gone, at the measured pace; at least 1."""
        ahead = self.pictures + len(self._queue)
        return max(1, math.ceil(ahead * self.service_seconds / self.threads))

    def reserve_bytes(self) -> "ReservedBytes":
        """An upload's share of the bytes in flight, held until its answer is sent."""
        return ReservedBytes(self, self._bytes)

    def admit(self) -> "AdmittedImage":
        """A place for an image; raises Overloaded where there is none."""
        wait = self.expected_wait()
        if wait > self.limits.wait_seconds:
            raise Overloaded(f"the queue is full: {wait:.1f} seconds long", self.retry_after())
        self.pictures += 1
        return AdmittedImage(self, patient=False)

    async def admit_in_turn(self, context: Context) -> "AdmittedImage":
        """The same; who is patient waits for it.

        Raises Overloaded, DeadlineExceeded or ClientDisconnected.
        """
        if not context.patient:
            return self.admit()
        await self._queue.wait(1, context)
        return AdmittedImage(self, patient=True)

    def served(self, seconds: float) -> None:
        """Learn from an image that spent ``seconds`` in a thread."""
        self.service_seconds += SMOOTHING * (seconds - self.service_seconds)
        self._queue.advance()

    def left(self, patient: bool) -> None:
        """Take a place back."""
        self.pictures -= 1
        self._patient -= patient
        self._queue.advance()

    def _wait_behind(self, pictures: int) -> float:
        return max(0, pictures + 1 - self.threads) * self.service_seconds / self.threads

    def _take_place(self, count: int) -> bool:
        """A place for a patient image; that many more of them must fit, or others would not."""
        longest = max(self._wait_behind(self.pictures), self._wait_behind(2 * self._patient))
        if longest > self.limits.wait_seconds:
            return False
        self.pictures += count
        self._patient += count
        return True

    def _give_place(self, count: int) -> None:
        self.pictures -= count
        self._patient -= count


class ReservedBytes:
    """The bytes that one upload holds so far, given back at the end of its ``with``."""

    def __init__(self, admission: Admission, budget: Budget) -> None:
        self.size = 0
        self._admission = admission
        self._budget = budget

    def grow(self, amount: int) -> None:
        """Count ``amount`` more bytes; raises Overloaded where the budget is spent."""
        if not self._budget.take(amount):
            raise self._full()
        self.size += amount

    def hold(self, amount: int) -> None:
        """Count an answer of ``amount`` bytes, ahead of uploads that wait: its work is done.

        Raises Overloaded where the budget is spent.
        """
        if not self._budget.take_first(amount):
            raise self._full()
        self.size += amount

    async def grow_in_turn(self, amount: int, context: Context) -> None:
        """The same, but wait for them.

        Raises Overloaded where that takes too long, or ClientDisconnected.
        """
        try:
            await self._budget.wait(amount, context)
        except DeadlineExceeded:
            raise self._full() from None
        self.size += amount

    def _full(self) -> Overloaded:
        return Overloaded("too many bytes are in flight", self._admission.retry_after())

    def shrink(self, amount: int) -> None:
        """Give ``amount`` of it back before the end."""
        self._budget.give(amount)
        self.size -= amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self.size)


class AdmittedImage:
    """An admitted image's place, given back at the end of its ``with``.

    A refusal that took a thread's time is learnt from: others wait for it as for an answer.
    """

    def __init__(self, admission: Admission, patient: bool) -> None:
        self._admission = admission
        self._patient = patient

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Refusal) and error.seconds:
            self._admission.served(error.seconds)
        self._admission.left(self._patient)
