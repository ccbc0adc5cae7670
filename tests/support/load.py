"""Clients that post pictures one after the other, each on a connection of its own."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from support.waiting import until
from support.wire import exchange, post

BROKEN = 0  # the status of a connection that ended without an answer


class Load:
    """What clients have been answered so far, by status."""

    def __init__(self, url: str, picture: bytes) -> None:
        self.url = url
        self.request = post(picture)
        self.statuses: Counter[int] = Counter()
        self._lock = threading.Lock()
        self._end = threading.Event()

    def client(self) -> None:
        """Post until told to end."""
        while not self._end.is_set():
            try:
                status = exchange(self.url, self.request).status
            except (OSError, AssertionError):
                status = BROKEN
            with self._lock:
                self.statuses[status] += 1

    def end(self) -> None:
        """Tell the clients."""
        self._end.set()

    def until_more(self, count: int) -> None:
        """Wait for ``count`` more good answers."""
        goal = self.statuses[200] + count
        until(lambda: self.statuses[200] >= goal)


@contextmanager
def load(url: str, picture: bytes, clients: int) -> Iterator[Load]:
    """``clients`` at work until the end."""
    running = Load(url, picture)
    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(running.client) for _ in range(clients)]
        try:
            running.until_more(clients)
            yield running
        finally:
            running.end()
    for client in done:
        client.result()
