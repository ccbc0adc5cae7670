"""The tested service, and a check after each test that it is unharmed."""

from collections.abc import Iterator

import pytest

from conformance.grpc_client import Client
from conformance.processes import Processes, processes_of
from conformance.tensors import model
from conformance.wire import exchange, head

WIRE = "wire: bytes that a proxy in front would answer, change or wait for itself"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", WIRE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the service is."""
    group = parser.getgroup("conformance")
    group.addoption("--base-url", help="where the service is, as http://127.0.0.1:8000")
    group.addoption("--grpc-address", help="where it answers gRPC, as 127.0.0.1:8001")
    group.addoption("--pid", type=int, help="its first process, where it runs on this machine")
    group.addoption("--seed", type=int, default=1, help="makes other damaged images")
    group.addoption(
        "--images", type=int, default=100, help="damaged ones of each of 45 sorts [%(default)s]"
    )


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    """Where the service is."""
    url = request.config.getoption("--base-url")
    if url is None:
        pytest.fail("give --base-url: the service that is to be tested")
    return str(url).rstrip("/")


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """A client of the service's gRPC, which still answers it after the test."""
    address = request.config.getoption("--grpc-address")
    if address is None:
        pytest.skip("--grpc-address is not given")
    with Client(address) as client:
        yield client
        assert client.call("ServerLive").live


@pytest.fixture
def name(base_url: str) -> str:
    """The default model's name."""
    return model(base_url).rpartition("/")[2]


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Processes:
    """The service's processes."""
    return processes_of(request.config)


@pytest.fixture(autouse=True)
def _unharmed(request: pytest.FixtureRequest, base_url: str) -> Iterator[None]:
    """After each test the service answers, and by the same processes as before."""
    known = request.config.getoption("--pid") is not None
    before = processes_of(request.config) if known else None
    yield
    for path in ("/livez", "/readyz"):
        assert exchange(base_url, head("GET", path)).status == 200
    if before is not None:
        assert processes_of(request.config) == before
