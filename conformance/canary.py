"""A server that detects connections which the service must not open."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit


class Canary(NamedTuple):
    """Its address, and whether a connection came."""

    listener: socket.socket
    url: str

    def disturbed(self) -> bool:
        """Whether a connection came: a service that fetches a URL does so before it answers."""
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def canary(service: str) -> Iterator[Canary]:
    """A canary on the address from which this machine reaches the ``service`` at its URL."""
    parts = urlsplit(service)
    with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
        address = connection.getsockname()[0]
    with socket.create_server((address, 0)) as listener:
        listener.setblocking(False)
        yield Canary(listener, f"http://{address}:{listener.getsockname()[1]}/canary.jpg")
