"""Rate limits: what a limit is, and the limiter that counts in this process."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import NamedTuple, Protocol

SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
# For each limit. Over it, the client whose last request is oldest is forgotten. About 20 MB.
MOST_CLIENTS = 65536


class Rate(NamedTuple):
    """``requests`` may come at once; they become available again evenly over ``seconds``."""

    requests: int
    seconds: int


class RateLimitState(NamedTuple):
    """The state of one limit for one client, after a request. Times are in seconds."""

    limit: str  # its name: address or key
    remaining: int  # requests
    reset: float  # until all requests are available again
    wait: float  # until the client may send this request again; 0: the request may pass


class RateLimiter(Protocol):
    """Counts the requests of each client, by its address and by its API key."""

    async def take(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Count one request; it is over a limit if the last state has ``wait`` above 0.

        Raises NotReady while the engine process, which counts, cannot be reached.
        """


Charge = Callable[[], Awaitable[None]]  # counts one more request of a client, or raises RateLimited
Rates = Mapping[str, Rate]  # by the limit's name


def parse_rate(text: str) -> Rate:
    """The Rate of a text such as ``100/minute``, which the settings have checked."""
    requests, _, unit = text.partition("/")
    return Rate(int(requests), SECONDS[unit])


class LocalRateLimiter:
    """Counts in this process's memory, by GCRA: one number for each client, and no timer.

    See docs/decisions/013.
    """

    def __init__(self, rates: Rates, most_clients: int = MOST_CLIENTS) -> None:
        # Most services have no rate limits, and the import takes 0.15 seconds.
        from throttled import Throttled, per_duration  # noqa: PLC0415
        from throttled.store import MemoryStore  # noqa: PLC0415

        self._limits = {
            name: Throttled(
                using="gcra",
                quota=per_duration(timedelta(seconds=rate.seconds), rate.requests),
                store=MemoryStore(options={"MAX_SIZE": most_clients}),
            )
            for name, rate in rates.items()
        }

    def count(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Count one request; a limit that refuses it is the last in the result."""
        states: list[RateLimitState] = []
        for name, client in (("address", address), ("key", key)):
            limit = self._limits.get(name)
            if limit is None or client is None:
                continue
            state = limit.limit(client).state
            states.append(
                RateLimitState(name, state.remaining, state.reset_after, state.retry_after)
            )
            if state.retry_after:
                break
        return tuple(states)

    async def take(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Do what ``count`` does, as a RateLimiter."""
        return self.count(address, key)
