"""Suspects are worked on alone: everything else waits until they are through."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Many may be inside together, or one alone; whoever wants to be alone goes first.

    All of it runs on one event loop.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._alone = False
        self._lonely: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Be inside with others of this kind."""
        if self._alone or self._lonely:
            await self._wait(self._others)
        else:
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside with nobody else."""
        if self._inside:
            await self._wait(self._lonely)
        else:
            self._alone, self._inside = True, 1
        try:
            yield
        finally:
            self._alone = False
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
                self._alone = False
                self._leave()
            raise

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        if self._lonely:
            if not self._inside:
                self._alone, self._inside = True, 1
                self._lonely.popleft().set_result(None)
            return
        while self._others and not self._alone:
            self._inside += 1
            self._others.popleft().set_result(None)
