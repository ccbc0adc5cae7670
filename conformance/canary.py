"""A server that must receive no request."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit


class Canary(NamedTuple):
    """Where it listens, and whether anybody came."""

    listener: socket.socket
    url: str

    def disturbed(self) -> bool:
        """Whether a connection has come: who fetches for a request does so before the answer."""
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
