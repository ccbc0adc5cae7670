"""Disturbances during a soak: reloads, refused bundles, and killed processes."""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from greengrocer.serving.reloading.control import ask
from soak.ledger import Ledger
from soak.service import Service

PAUSE_SECONDS = 1.5  # between two troubles
POLL_SECONDS = 0.05
PATIENCE = 60.0  # seconds, for a killed process to be replaced
NO_BUNDLE = "no-such-bundle"

Trouble = Callable[[], Awaitable[None]]


class Troubles:
    """One trouble after the other; ``bundles`` are those that are loaded in turn."""

    def __init__(self, service: Service, ledger: Ledger, bundles: Sequence[str]) -> None:
        self.service = service
        self.ledger = ledger
        self.reloads: Counter[str] = Counter()  # by the result that was to come
        self.complaints: list[str] = []
        self.settled = False  # all processes run, and two models are loaded
        self._bundles = itertools.cycle(bundles)

    async def run(self) -> None:
        """Run until cancelled; a disturbance that has begun is finished first."""
        with suppress(asyncio.CancelledError):
            for trouble in itertools.cycle(self._kinds()):
                await asyncio.sleep(PAUSE_SECONDS)
                for kill in self.ledger.kills:  # the effects of the last kill are over
                    kill.until = min(kill.until, time.monotonic())
                await _to_the_end(trouble())

    def _kinds(self) -> list[Trouble]:
        reloads: list[Trouble] = [self._refused, self._roll_back, self._reload]  # quick ones first
        if not self.service.workers:
            return [self._reload, *reloads]
        return [self._kill_http, self._kill_engine, *reloads]

    async def _reload(self) -> None:
        await self._order({"order": "reload", "bundle": next(self._bundles)}, "ok")
        self.settled = True

    async def _roll_back(self) -> None:
        await self._order({"order": "rollback"}, "ok")

    async def _refused(self) -> None:
        await self._order({"order": "reload", "bundle": NO_BUNDLE}, "refused")

    async def _order(self, order: dict[str, object], wanted: str) -> None:
        self.reloads[wanted] += 1
        answer = await asyncio.to_thread(ask, self.service.control, order)
        if answer["ok"] != (wanted == "ok"):
            self.complaints.append(f"{order} was answered {answer}")

    async def _kill_http(self) -> None:
        await self._kill("http")
        await self._reload()

    async def _kill_engine(self) -> None:
        await self._kill("engine")
        await self._reload()

    async def _kill(self, role: str) -> None:
        self.settled = False
        victim = self.service.of_role(role)[0]
        self.ledger.kill(role)
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(PATIENCE):
            while victim in self.service.of_role(role) or not self.service.whole():  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)


async def _to_the_end(work: Awaitable[None]) -> None:
    """Finish ``work`` even where we are cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
