"""Readiness: whether a load balancer should send requests."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class State(StrEnum):
    """The states of a service, in order."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Readiness:
    """The current state; the server sets it when it starts and stops."""

    def __init__(self) -> None:
        self._state = State.STARTING
        self._watchers: set[Callable[[], object]] = set()

    @property
    def state(self) -> State:
        """The current state. A signal handler may set it."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        for wake in tuple(self._watchers):
            wake()

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests to this service."""
        return self._state is State.READY

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever the state is set, until the ``with`` block ends."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(changed.set)

        self._watchers.add(wake)
        try:
            yield changed
        finally:
            self._watchers.discard(wake)
