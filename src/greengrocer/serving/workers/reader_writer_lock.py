"""A lock for the engine: a suspect image is classified alone, all others side by side."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class ReaderWriterLock:
    """An asyncio lock with many shared holders or one exclusive one. Exclusive waiters go first.

    For tasks of one event loop.
    """

    def __init__(self) -> None:
        self._holders = 0
        self._exclusive = False
        self._writers: deque[asyncio.Future[None]] = deque()
        self._readers: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Hold the lock together with other shared holders."""
        if self._exclusive or self._writers:
            await self._wait(self._readers)
        else:
            self._holders += 1
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Hold the lock alone."""
        if self._holders:
            await self._wait(self._writers)
        else:
            self._exclusive, self._holders = True, 1
        try:
            yield
        finally:
            self._exclusive = False
            self._leave()

    async def _wait(self, queue: "deque[asyncio.Future[None]]") -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn  # _admit has counted this task as a holder before it set the result
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # _admit has dropped it
                    queue.remove(turn)
                self._admit()
            else:
                self._exclusive = False
                self._leave()
            raise

    def _leave(self) -> None:
        self._holders -= 1
        self._admit()

    def _admit(self) -> None:
        # a waiter that was cancelled stays in its queue until its task runs again
        while self._writers and self._writers[0].done():
            self._writers.popleft()
        if self._writers:
            if not self._holders:
                self._exclusive, self._holders = True, 1
                self._writers.popleft().set_result(None)
            return
        while self._readers and not self._exclusive:
            turn = self._readers.popleft()
            if not turn.done():
                self._holders += 1
                turn.set_result(None)
