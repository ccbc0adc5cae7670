"""The black-box suite, against the service in one process and in several."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.known_faults import KNOWN_FAULTS
from support.documents import ROOT
from support.servers import StartServer

pytestmark = pytest.mark.accept

LONG = 600  # seconds: only a hang takes as long


@pytest.mark.parametrize("workers", [None, 2])
def test_the_service_passes_the_suite(
    serve: StartServer, fake_bundle: Path, tmp_path: Path, workers: int | None
) -> None:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--access-log", "false"]
    flags += ["--workers", str(workers)] if workers else []
    server = serve(*flags)
    server.until_logged(lambda: sum("serving" in line for line in server.log) == (workers or 1))
    options = [f"--base-url={server.url}", f"--pid={server.process.pid}", f"--basetemp={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "conformance", "-p", "no:cacheprovider", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert " skipped" not in done.stdout
    assert sum(map(int, re.findall(r"(\d+) xfailed", done.stdout))) == len(KNOWN_FAULTS)
