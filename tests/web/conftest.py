"""Fixtures of the HTTP tests."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.engines import HeldEngine
from support.live import Live, engine_of, live, make_service
from support.servers import Server


@pytest.fixture
def client(fake_server: Server) -> Iterator[httpx.Client]:
    """A client of a server with the fake engine and the usual limits."""
    with fake_server.client() as client:
        yield client


@pytest.fixture
def held_engine(fake_bundle: Path) -> HeldEngine:
    """An engine that answers when the test lets it."""
    return engine_of(HeldEngine, fake_bundle).hold()


@pytest.fixture
def held_server(fake_bundle: Path, held_engine: HeldEngine) -> Iterator[Live]:
    """A server whose one thread has that engine."""
    with live(make_service(fake_bundle, held_engine)) as server:
        yield server
        held_engine.release.set()
