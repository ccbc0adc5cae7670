"""The tests of the engine openvino, in an environment that has its library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.environments import build

ROOT = Path(__file__).parents[2]
SECONDS = 2400.0  # only a hang takes as long
TESTS = ("tests/engines/test_openvino_engine.py", "tests/engines/test_auto_engine.py")


@pytest.mark.accept
@pytest.mark.leg("OpenVINO")
def test_the_engine_openvino_passes_its_tests() -> None:
    python = build("openvino", Path(sys.executable), ROOT / "requirements" / "openvino.txt")
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-rs", *TESTS]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert "openvino is not installed" not in done.stdout
