"""When a call is attempted again, and how long it waits before: decisions without I/O."""

import random
import time
from collections.abc import Callable

from greengrocer_client.errors import (
    ClientError,
    NotReady,
    Overloaded,
    Refusal,
    Unreachable,
    deadline_exceeded,
)

AGAIN = (Overloaded, NotReady, Unreachable)  # a later attempt may succeed
DEFAULT_WAIT = 1.0  # seconds, after a 429 or 503 without Retry-After
FIRST_WAIT = 0.25  # seconds, after a lost connection; each further wait is twice as long
JITTER = 0.5  # a wait is longer by up to this share of it


class Attempts:
    """The attempts of one call, of which there are at most ``most`` within ``seconds``.

    ``clock`` gives seconds that only grow, ``chance`` a number from 0 to 1.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.seconds = seconds
        self._most = most
        self._made = 0
        self._clock = clock
        self._chance = chance
        self._end = clock() + seconds

    def begin(self) -> float:
        """Begin an attempt; returns the seconds that are left. Raises DeadlineExceeded."""
        left = self.left()
        self._made += 1
        return left

    def left(self) -> float:
        """The seconds that are left, above 0. Raises DeadlineExceeded."""
        left = self._end - self._clock()
        if left <= 0:
            raise deadline_exceeded(self.seconds)
        return left

    def wait_after(self, error: ClientError) -> float:
        """The seconds to wait before the next attempt.

        It is never less than what Retry-After said, and longer by chance, so that clients that were
        refused together do not come back together. Raises ``error`` where there is no next attempt:
        it is of no such kind, the attempts are used up, or the wait would pass the deadline.
        """
        if not isinstance(error, AGAIN) or self._made >= self._most:
            raise error
        wait = self._least(error) * (1 + JITTER * self._chance())
        if self._clock() + wait >= self._end:
            raise error
        return wait

    def _least(self, error: ClientError) -> float:
        if isinstance(error, Refusal):
            return DEFAULT_WAIT if error.retry_after is None else error.retry_after
        return FIRST_WAIT * (1 << (self._made - 1))
