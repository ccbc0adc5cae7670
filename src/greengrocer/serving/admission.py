"""Admission control: limits on the bytes in memory and on the expected waiting time.

All of it runs on the event loop, so it needs no locks.
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
        while self._waiting:
            turn, amount = self._waiting[0]
            if not turn.done():
                if not self._take(amount):
                    return
                turn.set_result(None)
            self._waiting.popleft()

    def _leave(self, place: tuple[asyncio.Future[None], int]) -> None:
        turn, amount = place
        if turn.done() and not turn.cancelled():  # it was admitted already
            self._give(amount)
        elif place in self._waiting:
            self._waiting.remove(place)
        self.advance()


class Budget:
    """A quantity with a capacity, such as bytes, and a queue of those who wait for some of it."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0
        self._queue = WaitQueue(self._take, self._give)

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
        return True

    def _give(self, amount: int) -> None:
        self.used -= amount


class Admission:
    """Admits an image, or refuses it with the seconds to wait before a retry.

    Patient images, all but the first of a batch, wait in a queue until they are admitted. They
    take at most half of the waiting time, so that a batch leaves room for other requests.
    """

    def __init__(self, limits: AdmissionLimits, threads: int, service_seconds: float) -> None:
        self.limits = limits
        self.threads = threads
        self.service_seconds = service_seconds  # running mean of an image's time in a thread
        self.pictures = 0
        self._patient = 0  # images among them that waited in the queue
        self._bytes = Budget(limits.upload_bytes)
        self._queue = WaitQueue(self._take_place, self._give_place)

    def expected_wait(self) -> float:
        """Seconds until a thread is free for an image that arrives now."""
        return self._wait_behind(self.pictures)

    def retry_after(self) -> int:
        """Whole seconds until all images in flight are answered, as measured; at least 1."""
        ahead = self.pictures + len(self._queue)
        return max(1, math.ceil(ahead * self.service_seconds / self.threads))

    def reserve_bytes(self) -> "ReservedBytes":
        """Count an upload's bytes; they stay reserved until its answer is sent."""
        return ReservedBytes(self, self._bytes)

    def admit(self) -> "AdmittedImage":
        """Admit an image; raises Overloaded where it would wait for too long."""
        wait = self.expected_wait()
        if wait > self.limits.wait_seconds:
            raise Overloaded(
                f"the queue is full: an image would wait {wait:.1f} seconds; retry later",
                self.retry_after(),
            )
        self.pictures += 1
        return AdmittedImage(self, patient=False)

    async def admit_in_turn(self, context: Context) -> "AdmittedImage":
        """Admit an image; where its context is patient, wait for it in the queue.

        Raises Overloaded, DeadlineExceeded or ClientDisconnected.
        """
        if not context.patient:
            return self.admit()
        await self._queue.wait(1, context)
        return AdmittedImage(self, patient=True)

    def served(self, seconds: float) -> None:
        """Update the mean service time with an image that took ``seconds`` in a thread."""
        self.service_seconds += SMOOTHING * (seconds - self.service_seconds)
        self._queue.advance()

    def left(self, patient: bool) -> None:
        """Count an image as answered, and admit the next one in the queue."""
        self.pictures -= 1
        self._patient -= patient
        self._queue.advance()

    def _wait_behind(self, pictures: int) -> float:
        return max(0, pictures + 1 - self.threads) * self.service_seconds / self.threads

    def _take_place(self, count: int) -> bool:
        """Admit a patient image if twice as many of them would still be within the limit."""
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
    """The bytes of one upload that are reserved, released at the end of the ``with`` block."""

    def __init__(self, admission: Admission, budget: Budget) -> None:
        self.size = 0
        self._admission = admission
        self._budget = budget

    def grow(self, amount: int) -> None:
        """Reserve ``amount`` more bytes; raises Overloaded where too few are free."""
        if not self._budget.take(amount):
            raise self._full()
        self.size += amount

    def hold(self, amount: int) -> None:
        """Reserve ``amount`` bytes for a finished answer, ahead of uploads that wait.

        Raises Overloaded where too few are free.
        """
        if not self._budget.take_first(amount):
            raise self._full()
        self.size += amount

    async def grow_in_turn(self, amount: int, context: Context) -> None:
        """Wait until ``amount`` more bytes are free, and reserve them.

        Raises Overloaded where the deadline passes first, or ClientDisconnected.
        """
        try:
            await self._budget.wait(amount, context)
        except DeadlineExceeded:
            raise self._full() from None
        self.size += amount

    def _full(self) -> Overloaded:
        return Overloaded(
            "the memory for uploads is full: send the request again later",
            self._admission.retry_after(),
        )

    def shrink(self, amount: int) -> None:
        """Release ``amount`` bytes before the end."""
        self._budget.give(amount)
        self.size -= amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self.size)


class AdmittedImage:
    """An admitted image, counted until the end of the ``with`` block.

    A refusal that took a thread's time updates the mean service time as an answer does.
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
