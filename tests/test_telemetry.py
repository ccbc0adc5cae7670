"""No usage is reported, and nothing is written to the home directory."""

from pathlib import Path

import pytest

from support.commands import run
from support.make_images import jpeg
from support.servers import StartServer
from support.wire import exchange, post


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory with nothing in it."""
    home = tmp_path / "home"
    home.mkdir()
    return home


def test_a_command_writes_nothing_to_the_home_directory(tmp_path: Path, home: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(100))
    done = run("predict", str(tmp_path / "a.jpg"), environment={"HOME": str(home)})
    assert (done.returncode, done.stderr) == (0, "")
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_service_writes_nothing_to_the_home_directory(
    serve: StartServer, home: Path, workers: tuple[str, ...]
) -> None:
    server = serve(*workers, HOME=str(home))
    assert exchange(server.url, post(jpeg(100))).status == 200
    assert server.stop() == 0
    assert list(home.rglob("*")) == []
