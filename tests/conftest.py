"""Fixtures that all tests share: bundles, real servers, the data set."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from greengrocer.bundles.bundle import shipped_bundles
from support.bundles import write_fake_bundle
from support.legs import (  # noqa: F401  # hooks
    pytest_collection_finish,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from support.plugins import python_path
from support.servers import Server, StartServer, start_server

settings.register_profile("unhurried", deadline=None)  # the machine may be busy
settings.load_profile("unhurried")
os.environ.update(python_path())  # the processes that tests start find the engine `fake`


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture(scope="session")
def fake_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that needs no model."""
    return write_fake_bundle(tmp_path_factory.mktemp("bundles") / "greys")


@pytest.fixture(scope="session")
def grocery_bundle() -> Path:
    """The bundle that ships with the product."""
    bundles = shipped_bundles()
    if "grocery" not in bundles:
        pytest.skip("the shipped bundle is not there: src/greengrocer/bundled/grocery")
    return bundles["grocery"]


@pytest.fixture(scope="session", params=["grocery", "fast", "tiny"])
def shipped_bundle(request: pytest.FixtureRequest) -> Path:
    """Each bundle that ships with the product."""
    return shipped_bundles()[request.param]


@pytest.fixture(scope="session")
def fake_server(fake_bundle: Path) -> Iterator[Server]:
    """A real server with the fake engine and default limits."""
    server = start_server("--bundle", str(fake_bundle), "--engine", "fake")
    yield server
    assert server.stop() == 0, "".join(server.log)


@pytest.fixture
def serve() -> Iterator[StartServer]:
    """Start servers with flags of the test's own; they are stopped at its end."""
    servers: list[Server] = []

    def start(*flags: str, **environment: str) -> Server:
        servers.append(start_server(*flags, **environment))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def dataset() -> Path:
    """The Grocery Store Dataset, where GREENGROCER_DATA names it."""
    directory = os.environ.get("GREENGROCER_DATA")
    if not directory:
        pytest.skip("GREENGROCER_DATA is not set: it names the Grocery Store Dataset")
    return Path(directory)


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A short ``XDG_RUNTIME_DIR``: a socket's address has no room for pytest's directories."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """The same, for a test that has both."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)
