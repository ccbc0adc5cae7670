"""Fixtures of the gRPC tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.live import make_service
from support.rpc import LiveRpc, RpcClient, live_rpc


@pytest.fixture(scope="module")
def running(fake_bundle: Path) -> Iterator[LiveRpc]:
    """A service with the fake engine and the usual limits."""
    with live_rpc(make_service(fake_bundle)) as served:
        yield served


@pytest.fixture
def rpc(running: LiveRpc) -> Iterator[RpcClient]:
    """A client of its gRPC."""
    with running.rpc() as client:
        yield client
