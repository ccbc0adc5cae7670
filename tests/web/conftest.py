"""What the tests of HTTP share."""

from collections.abc import Iterator

import httpx
import pytest

from support.servers import Server


@pytest.fixture
def client(fake_server: Server) -> Iterator[httpx.Client]:
    """A client of a server with the fake engine and the usual limits."""
    with fake_server.client() as client:
        yield client
