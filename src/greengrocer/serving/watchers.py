"""Tells those who wait on an event loop that something has changed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchers:
    """Those who want to know of changes of one thing; it wakes them, and they look."""

    def __init__(self) -> None:
        self._wakers: set[Callable[[], object]] = set()

    def wake(self) -> None:
        """Something has changed. Any thread may call it, and a signal handler."""
        for wake in tuple(self._wakers):
            wake()

    @contextmanager
    def setting(self, changed: asyncio.Event) -> Iterator[None]:
        """Each change sets the event, until the ``with`` block ends."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._wakers.add(wake)
        try:
            yield
        finally:
            self._wakers.discard(wake)
