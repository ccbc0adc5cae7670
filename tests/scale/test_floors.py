"""A library with a known vulnerability ends a replica and the deployment before they serve."""

import subprocess
from pathlib import Path

import pytest

from support.libraries import install
from support.ray_cluster import PROGRAMS, build
from support.servers import clean_environment

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]


@pytest.mark.parametrize("call", ["application({})", "Replica({})"])
def test_an_older_pillow_is_refused(tmp_path: Path, call: str) -> None:
    build()
    install(tmp_path, "pillow", "12.3.0")
    done = subprocess.run(
        [PROGRAMS / "python", "-c", f"from greengrocer.scale.ray_serve import *; {call}"],
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]
    for said in ("OutdatedLibrary", "CVE-2026-112403", "pip install 'pillow>=13.0.0'"):
        assert said in told
