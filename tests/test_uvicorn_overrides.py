"""A uvicorn that lacks what the server overrides ends the start with one line."""

import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from tools.check_floors import declared
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from greengrocer.errors import UnsuitableLibrary
from greengrocer.uvicorn_overrides import ALLOWED, OVERRIDDEN, check_overrides
from greengrocer.web.wire.protocol import LimitedProtocol
from greengrocer.web.wire.response import Cycle, Flow
from greengrocer.web.wire.server import Server
from support.libraries import install
from support.servers import clean_environment

ROOT = Path(__file__).parents[1]
NAMES = [(module, name) for module, names in OVERRIDDEN.items() for name in names]


def uvicorn_without(directory: Path, module: str, name: str) -> None:
    """A copy of the uvicorn that is here, in which ``name`` is called something else."""
    spec = find_spec("uvicorn")
    assert spec is not None
    assert spec.origin is not None
    copy = directory / "uvicorn"
    if not copy.exists():
        shutil.copytree(Path(spec.origin).parent, copy)
    file = copy / module
    last = name.rpartition(".")[2]
    file.write_text((Path(spec.origin).parent / module).read_text().replace(last, f"{last}_new"))


def start(directory: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
    """A start with the libraries in ``directory`` before all others."""
    return subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", "--port", "0", *flags],
        env=clean_environment() | {"PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("flags", [(), ("--workers", "2")])
def test_a_renamed_method_ends_the_start(tmp_path: Path, flags: tuple[str, ...]) -> None:
    uvicorn_without(tmp_path, "protocols/http/httptools_impl.py", "X.on_response_complete")
    done = start(tmp_path, *flags)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    said = "has no HttpToolsProtocol.on_response_complete, which the server overrides or uses: "
    assert f"{said}pip install 'uvicorn{ALLOWED['uvicorn']}'" in done.stderr


@pytest.mark.parametrize(("package", "version"), [("uvicorn", "0.40.0"), ("httptools", "0.7.1")])
def test_an_older_library_ends_the_start(tmp_path: Path, package: str, version: str) -> None:
    install(tmp_path, package, version)
    done = start(tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"{package} {version} is too old" in done.stderr
    assert f"pip install '{package}{ALLOWED[package]}'" in done.stderr


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_every_name_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    file = tmp_path / "uvicorn" / module
    for each in OVERRIDDEN:
        copy = tmp_path / "uvicorn" / each
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text((uvicorn_home() / each).read_text())
    last = name.rpartition(".")[2]
    file.write_text(file.read_text().replace(last, f"{last}_new"))
    monkeypatch.setattr("greengrocer.uvicorn_overrides.find_spec", found_in(tmp_path))
    with pytest.raises(UnsuitableLibrary, match=r"uvicorn .* has no \S+"):
        check_overrides()


def uvicorn_home() -> Path:
    """Where the uvicorn is that is here."""
    spec = find_spec("uvicorn")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def found_in(directory: Path) -> Callable[[str], object]:
    """What finds a package in ``directory``."""

    class Spec:
        origin = str(directory / "uvicorn" / "__init__.py")

    return lambda _: Spec


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(LimitedProtocol, HttpToolsProtocol), (Cycle, RequestResponseCycle), (Flow, FlowControl)],
)
def test_every_override_is_checked(ours: type, theirs: type) -> None:
    told = {name for _, name in NAMES}
    for name, _ in inspect.getmembers(ours, inspect.isfunction):
        if name in vars(ours) and name in vars(theirs) and name != "__init__":
            assert f"{theirs.__name__}.{name}" in told


def test_every_override_of_the_server_is_checked() -> None:
    overridden = {name for name in vars(Server) if name in vars(Server.__base__ or object)}
    told = {name.rpartition(".")[2] for name in OVERRIDDEN["server.py"]}
    assert {name for name in overridden if not name.startswith("__")} <= told


def test_the_installed_uvicorn_is_accepted() -> None:
    check_overrides()


def test_the_allowed_versions_are_those_of_pyproject_toml() -> None:
    said = {line.replace(" ", "") for line in declared(ROOT / "pyproject.toml")}
    for package, allowed in ALLOWED.items():
        assert f"{package}{allowed}" in said
