"""Readiness: whether a load balancer should send requests."""

from enum import StrEnum

from greengrocer.serving.watchers import Watchers


class State(StrEnum):
    """The states of a service, in order."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Readiness:
    """The current state; the server sets it when it starts and stops."""

    def __init__(self) -> None:
        self._state = State.STARTING
        self.watchers = Watchers()  # told whenever the state is set

    @property
    def state(self) -> State:
        """The current state. A signal handler may set it."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        self._state = state
        self.watchers.wake()

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests to this service."""
        return self._state is State.READY
