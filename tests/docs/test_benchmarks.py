"""The commands of the documents that measure work in the environment that they name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import SCENARIOS

from support.documents import ROOT
from support.plugins import python_path
from support.servers import clean_environment

COMMAND = re.compile(r"`([^`\s]*)python -m benchmarks(?=[ `])[ \n]?(\w*)")
COMMANDS = {
    found
    for document in sorted((ROOT / "docs").rglob("*.md"))
    for found in COMMAND.findall(document.read_text(encoding="utf-8"))
}
DEV, SERVE = ".venv-dev/bin/", ".venv/bin/"
# beyond requirements/serve.txt, what scenarios need
BEYOND = ("grpc", "matplotlib", "onnx", "opentelemetry.sdk", "torch", "yaml")


def run(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python, in an environment like that of `make serve`."""
    lines = [f"sys.modules[{name!r}] = None" for name in BEYOND]
    (directory / "sitecustomize.py").write_text("\n".join(["import sys", *lines]))
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=clean_environment() | python_path(directory),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_documents_name_scenarios_and_an_environment() -> None:
    assert {scenario for _, scenario in COMMANDS} <= SCENARIOS.keys()
    assert {python for python, _ in COMMANDS} == {DEV, SERVE}


def test_what_needs_the_environment_that_serves_loads_in_it(tmp_path: Path) -> None:
    chosen = sorted(scenario for python, scenario in COMMANDS if python == SERVE)
    assert "capacity" in chosen
    code = f"from benchmarks.__main__ import load; print(list(map(load, {chosen})))"
    done = run(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("program", ["benchmarks", "benchmarks.peers"])
def test_help_needs_nothing_more(tmp_path: Path, program: str) -> None:
    done = run(tmp_path, "-m", program, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage:")
    if program == "benchmarks":
        assert all(f"  {name} " in done.stdout for name in SCENARIOS)


@pytest.mark.parametrize("command", ["benchmarks anatomy", "benchmarks concepts"])
def test_a_scenario_says_in_one_line_what_it_lacks(tmp_path: Path, command: str) -> None:
    done = run(tmp_path, "-m", *command.split())
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert re.match(r"(matplotlib|safetensors|torch)\S* is not installed here: ", line)
    assert line.endswith(f".venv-dev/bin/python -m {command}")
