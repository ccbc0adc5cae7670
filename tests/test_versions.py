"""The quick tests on the oldest allowed libraries and on another Python."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from tools.check_floors import requirements

from support.environments import build, find_python

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OLDEST, NEWEST = PROJECT["requires-python"].removeprefix(">="), "3.13"
LOWEST = ROOT / "requirements" / "lowest.txt"
SECONDS = 2400.0  # only a hang takes as long
# What these environments are without: PyTorch, Ray, browsers, Sphinx, what builds and checks.
APART = [
    *("browser", "conformance", "deploy", "docs", "evaluation", "importing", "scale", "training"),
    *(
        "cli/test_train_photos.py",
        "datachecks/test_report.py",
        "engines/test_torch_engine.py",
        "test_benchmarks.py",
        "test_release.py",
        "test_soak.py",
        "test_versions.py",
        "test_wheel.py",
    ),
]


def test_the_tested_lowest_versions_are_the_allowed_ones() -> None:
    pinned = {each.name: each.specifier for each in map(Requirement, requirements(LOWEST))}
    for wanted in map(Requirement, PROJECT["dependencies"]):
        (bound,) = [each.version for each in wanted.specifier if each.operator == ">="]
        assert pinned[wanted.name].contains(bound), f"{wanted}: {LOWEST.name} has another"


def test_the_declared_python_versions_are_the_tested_ones() -> None:
    named = {each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: 3." in each}
    assert named == {OLDEST, NEWEST}


def quick_tests(name: str, version: str, wanted: Path) -> None:
    """Run them in an environment with the pins in ``wanted``."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version}")
    command = [str(build(name, python, wanted)), "-m", "pytest", "-m", "not accept"]
    command += ["-p", "no:cacheprovider", "--tb=short", "-n", "2", "--dist", "loadfile"]
    command += [f"--ignore=tests/{each}" for each in APART]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-20_000:]


@pytest.mark.accept
@pytest.mark.leg("lowest versions")
def test_the_quick_tests_pass_on_the_lowest_versions() -> None:
    quick_tests("lowest", OLDEST, LOWEST)


@pytest.mark.accept
@pytest.mark.leg("Python 3.13")
def test_the_quick_tests_pass_on_another_python() -> None:
    quick_tests(NEWEST, NEWEST, ROOT / "requirements" / "serve.txt")
