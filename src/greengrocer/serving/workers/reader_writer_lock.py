"""Suspects are worked on alone: everything else waits until they are through."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ReaderWriterLock:
    """Many may be inside together, or one alone; whoever wants to be alone goes first.

    All of it runs on one event loop.
    """

    def __init__(self) -> None:
        self._holders = 0
        self._exclusive = False
        self._writers: deque[asyncio.Future[None]] = deque()
        self._readers: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Be inside with others of this kind."""
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
        """Be inside with nobody else."""
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
            await turn  # whoever ends the wait has counted us in already
        except asyncio.CancelledError:
            if turn.cancelled():
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
        if self._writers:
            if not self._holders:
                self._exclusive, self._holders = True, 1
                self._writers.popleft().set_result(None)
            return
        while self._readers and not self._exclusive:
            self._holders += 1
            self._readers.popleft().set_result(None)
