"""The limiter that counts in this process's own memory."""

from datetime import timedelta

from throttled import Throttled, per_duration
from throttled.store import MemoryStore

from greengrocer.serving.rate_limits import RateLimitState, Rates

# Of each limit; the client that has not asked for longest is forgotten first. About 20 MB.
MOST_CLIENTS = 65536


class LocalRateLimiter:
    """Counts by GCRA: a client's state is one number, and nothing has to be done in time.

    See docs/decisions/013.
    """

    def __init__(self, rates: Rates, most_clients: int = MOST_CLIENTS) -> None:
        self._limits = {
            name: Throttled(
                using="gcra",
                quota=per_duration(timedelta(seconds=rate.seconds), rate.requests),
                store=MemoryStore(options={"MAX_SIZE": most_clients}),
            )
            for name, rate in rates.items()
        }

    def count(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Count one request; a limit that refuses it is the last that has counted it."""
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
        """The same, as a RateLimiter."""
        return self.count(address, key)
