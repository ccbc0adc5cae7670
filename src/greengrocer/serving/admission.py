"""Who may come in: budgets of bytes, megapixels and waiting time, not a mere count of requests.

All of it runs on the event loop, so there is nothing to lock.
"""

import math
from dataclasses import dataclass
from typing import Self

from greengrocer.errors import Overloaded, Refusal

SMOOTHING = 0.05  # weight of the newest service time in the running mean


@dataclass(frozen=True)
class AdmissionLimits:
    """What may be in flight at once."""

    upload_bytes: int
    pixels: int
    wait_seconds: float  # longest expected wait for a thread


class Budget:
    """A quantity that is taken and given back, and never exceeds its capacity."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used = 0

    def take(self, amount: int) -> bool:
        """Take ``amount``, or nothing and return False where too little is left."""
        if self.used + amount > self.capacity:
            return False
        self.used += amount
        return True

    def give(self, amount: int) -> None:
        """Give ``amount`` back."""
        self.used -= amount


class Admission:
    """Says yes, or no with the seconds after which asking again is worth while."""

    def __init__(self, limits: AdmissionLimits, threads: int, service_seconds: float) -> None:
        self.limits = limits
        self.threads = threads
        self.service_seconds = service_seconds  # running mean of a picture's time in a thread
        self.pictures = 0
        self._bytes = Budget(limits.upload_bytes)
        self._pixels = Budget(limits.pixels)

    def expected_wait(self) -> float:
        """Seconds until a thread is free for a picture that comes now."""
        return max(0, self.pictures + 1 - self.threads) * self.service_seconds / self.threads

    def retry_after(self) -> int:
        """Whole seconds until what is in flight has gone, at the measured pace; at least 1."""
        return max(1, math.ceil(self.pictures * self.service_seconds / self.threads))

    def receiving(self) -> "Receipt":
        """An upload's share of the bytes in flight, held until its answer is sent."""
        return Receipt(self, self._bytes)

    def admitted(self, pixels: int) -> "Place":
        """A place for a picture of ``pixels``; raises Overloaded where there is none."""
        wait = self.expected_wait()
        if wait > self.limits.wait_seconds:
            raise Overloaded(f"the queue is full: {wait:.1f} seconds long", self.retry_after())
        if not self._pixels.take(pixels):
            raise Overloaded("too many megapixels are in flight", self.retry_after())
        self.pictures += 1
        return Place(self, self._pixels, pixels)

    def served(self, seconds: float) -> None:
        """Learn from a picture that spent ``seconds`` in a thread."""
        self.service_seconds += SMOOTHING * (seconds - self.service_seconds)


class Receipt:
    """The bytes that one upload holds so far, given back at the end of its ``with``."""

    def __init__(self, admission: Admission, budget: Budget) -> None:
        self.size = 0
        self._admission = admission
        self._budget = budget

    def grow(self, amount: int) -> None:
        """Count ``amount`` more bytes; raises Overloaded where the budget is spent."""
        if not self._budget.take(amount):
            raise Overloaded("too many bytes are in flight", self._admission.retry_after())
        self.size += amount

    def shrink(self, amount: int) -> None:
        """Give ``amount`` of it back before the end."""
        self._budget.give(amount)
        self.size -= amount

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self.size)


class Place:
    """An admitted picture's place, given back at the end of its ``with``.

    A refusal that took a thread's time is learnt from: others wait for it as for an answer.
    """

    def __init__(self, admission: Admission, budget: Budget, pixels: int) -> None:
        self._admission = admission
        self._budget = budget
        self._pixels = pixels

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, Refusal) and error.seconds:
            self._admission.served(error.seconds)
        self._admission.pictures -= 1
        self._budget.give(self._pixels)
