import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.engines.onnx_engine import OnnxEngine
from greengrocer.engines.registry import find_engine, make_engine
from greengrocer.errors import UsageError
from support.commands import mistake, run
from support.make_images import jpeg
from support.plugins import python_path, write_plugin
from support.servers import StartServer

UNKNOWN = "there is no engine magic: choose one of auto, fake, onnx, openvino, torch"
LIGHT_FOR_BLACK = """
from fake_engine import FakeEngine

class LightForBlack(FakeEngine):
    def infer(self, pixels, alone=False):
        return super().infer(255 - pixels if pixels.mean() < 10 else pixels, alone)
"""
BAD = {
    "a module that is missing": ("nowhere:Engine", "", "ModuleNotFoundError: No module named"),
    "a name that is missing": ("broken_engine:Engine", "x = 1", "AttributeError: "),
    "an import that fails": (
        "broken_engine:Engine",
        "raise OSError('libx.so: no ELF\\nheader')",
        r"OSError: libx.so: no ELF\nheader",
    ),
    "an import that exits": ("broken_engine:Engine", "import sys; sys.exit(0)", "SystemExit: 0"),
    "no class": ("broken_engine:Engine", "Engine = 42", "TypeError: 'int' object is not callable"),
    "other arguments": (
        "broken_engine:Engine",
        "class Engine:\n    def __init__(self): pass",
        "TypeError: ",
    ),
}


def test_an_engine_is_found_by_its_name(fake_bundle: Path) -> None:
    manifest = read_manifest(fake_bundle)
    for name, kind in (("onnx", OnnxEngine), ("fake", FakeEngine)):
        assert isinstance(make_engine(name, fake_bundle, manifest, "cpu", ONE_THREAD), kind)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=f"^{UNKNOWN}$"):
        find_engine("magic")


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
def test_an_engine_of_another_package_serves(
    serve: StartServer, fake_bundle: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    plugin = write_plugin(tmp_path, "turned", "turned", "turned:LightForBlack", LIGHT_FOR_BLACK)
    flags = ("--engine", "turned", "--bundle", str(fake_bundle), *workers)
    server = serve(*flags, **python_path(plugin))
    with server.client() as client:
        answer = client.post("/predict", files={"file": jpeg(5)})
        assert answer.json()["prediction"] == "grey-9", answer.text


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
@pytest.mark.parametrize("given", [["--engine", "magic"], []])
def test_serve_refuses_an_unknown_engine_before_it_opens_a_port(
    given: list[str], workers: list[str]
) -> None:
    environment = {} if given else {"GREENGROCER_ENGINE": "magic"}
    # The port is taken: whoever opens it first would complain of that.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("serve", "--port", port, *given, *workers, environment=environment)
    assert mistake(done) == f"greengrocer: {UNKNOWN}"


@pytest.mark.parametrize("case", BAD)
def test_an_engine_that_does_not_load_is_refused_and_its_package_named(
    fake_bundle: Path, tmp_path: Path, case: str
) -> None:
    where, code, why = BAD[case]
    plugin = write_plugin(tmp_path, "magic-engine", "magic", where, code)
    flags = ("--port", "0", "--bundle", str(fake_bundle), "--engine", "magic")
    line = mistake(run("serve", *flags, environment=python_path(plugin)))
    assert f"the engine 'magic' of the package magic-engine 1.0 does not load: {why}" in line


def test_what_is_not_an_engine_is_refused(fake_bundle: Path, tmp_path: Path) -> None:
    code = "def Engine(*arguments): return None"
    plugin = write_plugin(tmp_path, "magic-engine", "magic", "none_engine:Engine", code)
    flags = ("--port", "0", "--bundle", str(fake_bundle), "--engine", "magic", "--workers", "1")
    line = mistake(run("serve", *flags, environment=python_path(plugin)))
    assert "the package magic-engine 1.0 is not an engine: it has no method start" in line


def test_an_engine_of_two_packages_is_refused(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "better-onnx", "onnx", "better:Engine", "Engine = None")
    line = mistake(run("serve", "--port", "0", environment=python_path(plugin)))
    assert "the engine 'onnx' is in more than one package (better-onnx 1.0, greengrocer " in line


def test_predict_accepts_an_engine_of_another_package(fake_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "dark.jpg").write_bytes(jpeg(5))
    command = ("predict", str(tmp_path / "dark.jpg"), "--bundle", str(fake_bundle), "--json")
    plugin = write_plugin(tmp_path, "turned", "turned", "turned:LightForBlack", LIGHT_FOR_BLACK)
    done = run(*command, "--engine", "turned", environment=python_path(plugin))
    assert '"grey-9"' in done.stdout, done.stderr


def test_help_does_not_look_for_engines() -> None:
    program = (
        "import sys, importlib.metadata as metadata\n"
        "metadata.entry_points = lambda group: {'pydantic': ()}[group]\n"
        "from greengrocer.cli.main import main; sys.exit(main(['serve', '--help']))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--engine" in done.stdout
