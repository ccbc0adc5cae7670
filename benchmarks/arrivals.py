"""An open-loop load generator in a process of its own: it sends images at a given rate.

A closed loop slows down with the service that it measures; crowds of clients do not. Each image
takes a connection that is idle, or a new one. A latency counts from the moment at which the image
was due, so that a generator that falls behind does not flatter the service.
"""

import asyncio
import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.companion import serve
from benchmarks.load import picture_request
from benchmarks.read_images import read_images

LAST_ANSWERS = 30.0  # seconds after the last image, in which its answer must have come
BROKEN = "broken"  # in the place of a status: the connection ended without an answer
MISSING = "missing"  # no answer came


@dataclass
class Seen:
    """What was answered within the measured window, and all faults of the run."""

    latencies: list[float] = field(default_factory=list)  # of 200s, in seconds
    refused: int = 0  # 429s
    sent: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # by status or kind
    processor_seconds: float = 0.0  # the generator's own


class Client(asyncio.Protocol):
    """One connection, with one request at a time on it."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self._due: float | None = None  # of the request in flight
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes, due: float) -> None:
        """Send ``request``, which was to be sent at ``due``."""
        assert self._transport is not None
        self._due, self._data = due, b""
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note the answer once it is whole."""
        self._data += data
        head, _, body = self._data.partition(b"\r\n\r\n")
        head = head.lower()
        _, found, rest = head.partition(b"content-length: ")
        if found and len(body) >= int(rest.partition(b"\r\n")[0]) and self._due is not None:
            due, self._due = self._due, None
            self._generator.answered(due, str(head[9:12], "ascii"), b"\r\nretry-after: " in head)
            if b"\r\nconnection: close" in head:
                self.close()
            else:
                self._generator.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop using this connection."""
        del exc
        if self._due is not None:
            self._generator.seen.faults[BROKEN] += 1
            self._generator.pending -= 1
        elif self in self._generator.idle:
            self._generator.idle.remove(self)

    def close(self) -> None:
        """Hang up."""
        assert self._transport is not None
        self._transport.close()


class Generator:
    """Sends ``requests`` in turn to ``port``."""

    def __init__(self, port: int, requests: "itertools.cycle[bytes]") -> None:
        self.port = port
        self.requests = requests
        self.idle: list[Client] = []
        self.pending = 0
        self.seen = Seen()
        self._window = (0.0, 0.0)
        self._openings: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, warmup: float, seconds: float, poisson: bool) -> Seen:
        """``rate`` images a second; the window of ``seconds`` opens after the ``warmup``.

        They come evenly or, as those of independent clients, in a Poisson process.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        opens, closes = start + warmup, start + warmup + seconds
        self._window = opens, closes
        marks: list[float] = []
        loop.call_at(opens, lambda: marks.append(time.process_time()))
        for after in _moments(rate, poisson):
            if after >= warmup + seconds:
                break
            due = start + after
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            self._send(due)
        self.seen.processor_seconds = time.process_time() - marks[0]
        await self._last_answers(loop.time() + LAST_ANSWERS)
        if self.pending:
            self.seen.faults[MISSING] = self.pending
        for client in self.idle:
            client.close()
        await asyncio.sleep(0)
        return self.seen

    def answered(self, due: float, status: str, says_when: bool) -> None:
        """Count an answer to what was due at ``due``."""
        now = asyncio.get_running_loop().time()
        self.pending -= 1
        within = self._window[0] <= now < self._window[1]
        if status == "200":
            self.seen.latencies += [now - due] * within
        elif status == "429" and says_when:
            self.seen.refused += within
        else:
            self.seen.faults[status] += 1

    def _send(self, due: float) -> None:
        self.pending += 1
        self.seen.sent += due >= self._window[0]
        if self.idle:
            self.idle.pop().ask(next(self.requests), due)
        else:
            opening = asyncio.get_running_loop().create_task(self._open(due))
            self._openings.add(opening)
            opening.add_done_callback(self._openings.discard)

    async def _open(self, due: float) -> None:
        try:
            _, client = await asyncio.get_running_loop().create_connection(
                lambda: Client(self), "127.0.0.1", self.port
            )
        except OSError:
            self.pending -= 1
            self.seen.faults[BROKEN] += 1
        else:
            client.ask(next(self.requests), due)

    async def _last_answers(self, until: float) -> None:
        while self.pending and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _moments(rate: float, poisson: bool) -> Iterator[float]:
    """When images come, in seconds from the first."""
    if poisson:
        gaps = (random.expovariate(rate) for _ in itertools.count())
        return itertools.accumulate(gaps, initial=0.0)
    return (number / rate for number in itertools.count())


def main() -> None:
    """Answer lines of port, rate, warm-up, seconds and, where it is random, 1."""
    images = read_images(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
    requests = itertools.cycle([picture_request(image) for image in images])

    def run(
        port: float, rate: float, warmup: float, seconds: float, poisson: float = 0
    ) -> dict[str, object]:
        generator = Generator(int(port), requests)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return vars(runner.run(generator.run(rate, warmup, seconds, bool(poisson))))

    serve(run)


if __name__ == "__main__":
    main()
