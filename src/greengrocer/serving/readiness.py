"""Readiness: whether a load balancer should send requests."""

from enum import StrEnum


class State(StrEnum):
    """The states of a service, in order."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"


class Readiness:
    """The current state; the server sets it when it starts and stops."""

    def __init__(self) -> None:
        self.state = State.STARTING

    @property
    def ready(self) -> bool:
        """Whether a load balancer should send requests to this service."""
        return self.state is State.READY
