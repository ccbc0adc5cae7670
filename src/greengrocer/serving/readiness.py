"""Whether traffic should come: one word that a balancer can act on."""

from enum import StrEnum


class State(StrEnum):
    """A service's life, in order."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Readiness:
    """The current state, set by whoever starts and stops the service."""

    def __init__(self) -> None:
        self.state = State.STARTING

    @property
    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return self.state is State.READY
