"""How often one client may ask. Whoever counts, here or in another process, is a RateLimiter."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple, Protocol

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Rate(NamedTuple):
    """So many requests at once; in ``seconds`` as many come back, evenly."""

    requests: int
    seconds: int


class RateLimitState(NamedTuple):
    """What is left to a client by one of the limits that count it. Times are in seconds."""

    limit: str  # its name: address or key
    remaining: int
    reset: float  # until all requests are back
    wait: float  # until this one may come again; 0: it may pass


class RateLimiter(Protocol):
    """Counts the requests of a client: of its address, and of the key that it has shown."""

    async def take(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Count one request; where the last standing has to wait it must not pass.

        Raises NotReady where nobody can count now.
        """


Charge = Callable[[], Awaitable[None]]  # counts one more request of a client, or raises RateLimited
Rates = Mapping[str, Rate]  # by the limit's name


def parse_rate(text: str) -> Rate:
    """``100/minute`` and the like, as the settings have it."""
    requests, _, unit = text.partition("/")
    return Rate(int(requests), SECONDS[unit])
