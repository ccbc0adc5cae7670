"""Clients that send requests of all kinds, each its next one when the last has an outcome."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from random import Random

import httptools

from soak.kinds import LEFT, Kind, Manner
from soak.ledger import CUT, Entry, Ledger
from soak.wire import Answer, Cut, Wire

SILENCE_SECONDS = 60.0  # after which a request counts as unanswered
SILENCE = "silence"
NO_CONNECTION = "no connection"
GARBLED = "no HTTP"
LINES = b"application/x-ndjson"
BIT = 16_384  # bytes that a slow reader has room for
PAUSE_SECONDS = 0.03  # before it reads them
DAWDLE_SECONDS = 1.0  # after which a client that never reads disconnects
KEPT = 8  # requests on one connection, at most
MOST_ODD = 1000  # unexpected outcomes: with more, the service is broken and the run ends
LEAVING = (Manner.LEAVES_SENDING, Manner.LEAVES_WAITING, Manner.NEVER_READS)
SLOW_READERS = (Manner.READS_SLOWLY, Manner.NEVER_READS)


class Clients:
    """``count`` clients of the service at ``port``; what they do depends on ``seed`` alone."""

    def __init__(
        self, port: int, kinds: Sequence[Kind], ledger: Ledger, count: int, seed: int
    ) -> None:
        self.port = port
        self.kinds = kinds
        self.ledger = ledger
        self.count = count
        self.random = Random(seed)  # noqa: S311 - no secret
        self._weights = [kind.weight for kind in kinds]

    async def run(self, over: Callable[[], bool]) -> None:
        """Send until it is ``over``, and wait for the last outcomes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.count):
                group.create_task(self._client(over))

    async def _client(self, over: Callable[[], bool]) -> None:
        while not over() and len(self.ledger.odd) < MOST_ODD:
            (kind,) = self.random.choices(self.kinds, self._weights)
            repeats = self.random.randint(1, KEPT) if kind.manner is Manner.WHOLE else 1
            await self._converse(kind, repeats)

    async def _converse(self, kind: Kind, repeats: int) -> None:
        """Some requests of one kind on one connection, as many as it takes."""
        opened = time.monotonic()
        try:
            wire = await Wire.to(self.port, BIT if kind.manner in SLOW_READERS else None)
        except OSError:
            self.ledger.end(self.ledger.begin(kind, opened), NO_CONNECTION)
            return
        self.ledger.connections += 1
        try:
            async with wire:
                kept = True
                while kept and repeats:
                    repeats -= 1
                    kept = await self._request(wire, self.ledger.begin(kind, opened))
        finally:
            self.ledger.connections -= 1

    async def _request(self, wire: Wire, entry: Entry) -> bool:
        """Send one request; whether another may follow."""
        kept = False
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                outcome, kept = await self._sent(wire, entry.kind)
        except Cut:
            outcome = LEFT if entry.kind.manner in LEAVING else CUT
        except TimeoutError:
            outcome = SILENCE
        except httptools.HttpParserError:
            outcome = GARBLED
        self.ledger.end(entry, outcome)
        return kept

    async def _sent(self, wire: Wire, kind: Kind) -> tuple[str, bool]:
        request = self.random.choice(kind.requests)
        half = kind.manner in (Manner.STALLED, Manner.LEAVES_SENDING)
        await wire.send(request[: len(request) // 2] if half else request)
        if kind.manner is Manner.NEVER_READS:
            await asyncio.sleep(DAWDLE_SECONDS)
        if kind.manner in LEAVING:
            return LEFT, False
        if kind.manner is Manner.PIPELINES:
            statuses = await wire.statuses(kind.times)
            return " and ".join(map(str, sorted(statuses))), False
        answer = await wire.answer(PAUSE_SECONDS if kind.manner is Manner.READS_SLOWLY else 0)
        return outcome_of(answer), answer.kept


def outcome_of(answer: Answer) -> str:
    """An answer in a few words: its status, and the code of a refusal or the lines of a batch."""
    kind = answer.headers.get(b"content-type", b"")
    if kind == LINES:
        statuses = [json.loads(line).get("status", 200) for line in answer.body.splitlines()]
        return f"{answer.status} of {', '.join(map(str, statuses))}"
    if answer.status == 429 and b"retry-after" not in answer.headers:
        return "429 without Retry-After"
    if b"problem" in kind:
        return f"{answer.status} {json.loads(answer.body)['code']}"
    return str(answer.status)
