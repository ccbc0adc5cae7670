"""Each test of a client runs with the synchronous and with the asynchronous one."""

import pytest

from greengrocer_client import Client
from support.clients import AnyClient, Awaited


@pytest.fixture(params=[Client, Awaited], ids=["sync", "async"])
def client_of(request: pytest.FixtureRequest) -> AnyClient:
    """A class of clients."""
    kind: AnyClient = request.param
    return kind
