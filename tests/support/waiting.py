"""Wait for another process or thread, with a bound that only a hang exceeds."""

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 180.0
T = TypeVar("T")


def until(ask: Callable[[], T | None], seconds: float = SECONDS) -> T:
    """The first answer of ``ask`` that is true."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, f"still {answer!r} after {seconds:g} seconds"
        time.sleep(0.01)
    return answer
