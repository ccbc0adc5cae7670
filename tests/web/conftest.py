"""What the tests of HTTP share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.servers import Server


@pytest.fixture
def client(fake_server: Server) -> Iterator[httpx.Client]:
    """A client of a server with the fake engine and the usual limits."""
    with fake_server.client() as client:
        yield client


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short ``XDG_RUNTIME_DIR``: a socket's address has no room for pytest's directories."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
