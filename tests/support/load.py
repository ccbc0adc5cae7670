"""Clients that post images one after the other and record the answers."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from support.waiting import SECONDS, until
from support.wire import Wire, WireAnswer, exchange, post

BROKEN = 0  # the status of a connection that ended without an answer


class Load:
    """What clients have been answered so far: by status, the good ones by version, and other texts.

    Each request has a connection of its own, unless connections are to be ``kept``.
    """

    def __init__(self, url: str, picture: bytes, kept: bool) -> None:
        self.url = url
        self.kept = kept
        self.request = post(picture)
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.others: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._end = threading.Event()

    def client(self) -> None:
        """Post until stopped."""
        while not self._end.is_set():
            try:
                self._converse()
            except (OSError, AssertionError) as error:
                self._count(BROKEN, other=repr(error))

    def end(self) -> None:
        """Tell the clients."""
        self._end.set()

    def until_more(self, count: int, seconds: float = SECONDS) -> None:
        """Wait for ``count`` more good answers."""
        goal = self.statuses[200] + count
        until(lambda: self.statuses[200] >= goal, seconds)

    def until_more_of(self, version: str, count: int, seconds: float = SECONDS) -> None:
        """Wait for ``count`` more good answers by the model of this version."""
        goal = self.versions[version] + count
        until(lambda: self.versions[version] >= goal, seconds)

    def _converse(self) -> None:
        """One request, or as many as one connection takes."""
        if not self.kept:
            self._note(exchange(self.url, self.request))
            return
        with Wire(self.url) as wire:
            while not self._end.is_set():
                answer = wire.send(self.request).answer()
                self._note(answer)
                if answer.headers.get("connection") == "close":
                    return

    def _note(self, answer: WireAnswer) -> None:
        if answer.status == 200:
            self._count(200, json.loads(answer.body)["model"]["version"])
        else:
            text = answer.body.decode(errors="replace")
            self._count(answer.status, other=f"{answer.status} {dict(answer.headers)} {text}")

    def _count(self, status: int, version: str | None = None, other: str | None = None) -> None:
        with self._lock:
            self.statuses[status] += 1
            if version is not None:
                self.versions[version] += 1
            if other is not None:
                self.others[other] += 1


@contextmanager
def load(url: str, picture: bytes, clients: int, kept: bool = False) -> Iterator[Load]:
    """``clients`` at work until the end."""
    running = Load(url, picture, kept)
    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(running.client) for _ in range(clients)]
        try:
            running.until_more(clients)
            yield running
        finally:
            running.end()
    for client in done:
        client.result()
