"""The rate limiter of an HTTP process. The engine process counts for all of them."""

import asyncio
from itertools import count

from greengrocer.errors import NotReady
from greengrocer.serving.frames.frames import RateLimitReply, RateLimitRequest
from greengrocer.serving.frames.stream import Link
from greengrocer.serving.rate_limits import RateLimitState

COUNT_SECONDS = 2.0  # to wait for the engine: many times what its event loop takes
AWAY = "the engine is being replaced: ask again"


class RemoteRateLimiter:
    """Asks the engine over the link of the RemoteClassifier, which calls ``found`` and ``lost``."""

    def __init__(self) -> None:
        self._link: Link | None = None
        self._asked: dict[int, asyncio.Future[tuple[RateLimitState, ...]]] = {}
        self._numbers = count(1)

    async def take(self, address: str, key: str | None) -> tuple[RateLimitState, ...]:
        """Count one request, as RateLimiter says. Raises NotReady while there is no engine."""
        if self._link is None:
            raise NotReady(AWAY)
        number = next(self._numbers)
        asked: asyncio.Future[tuple[RateLimitState, ...]] = (
            asyncio.get_running_loop().create_future()
        )
        self._asked[number] = asked
        self._link.send(RateLimitRequest(number, address, key))
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                return await asked
        except TimeoutError:
            raise NotReady(AWAY) from None
        finally:
            self._asked.pop(number, None)

    def found(self, link: Link) -> None:
        """An engine is ready at the other end of ``link``."""
        self._link = link

    def lost(self) -> None:
        """The engine has died: refuse the requests that wait for its count."""
        self._link = None
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(NotReady(AWAY))

    def receive(self, reply: RateLimitReply) -> None:
        """Give the engine's reply to the request that waits for it."""
        asked = self._asked.get(reply.id)
        if asked is not None and not asked.done():
            asked.set_result(reply.states)
