"""The real command, and a bundle that the default engine can run."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.graphs import write_onnx_bundle
from support.servers import clean_environment

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def onnx_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of ten grey levels with a real graph."""
    return write_onnx_bundle(tmp_path_factory.mktemp("bundles") / "onnx-greys")


@pytest.fixture
def greengrocer(tmp_path: Path) -> Callable[..., Done]:
    """Run ``greengrocer`` with these arguments in an empty directory."""
    environment = clean_environment() | {
        "XDG_DATA_HOME": str(tmp_path / "data-home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache-home"),
    }
    # The command runs elsewhere, so relative entries of the path must become absolute.
    entries = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(entry).resolve()) for entry in entries)

    def run(*arguments: object) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "greengrocer", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
            timeout=120,
        )

    return run
