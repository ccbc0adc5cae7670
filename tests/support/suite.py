"""The black-box suite, held against a service that runs."""

import subprocess
import sys
from pathlib import Path

from support.documents import ROOT

LONG = 600  # seconds: only a hang takes as long


def pass_suite(url: str, scratch: Path, *options: str) -> str:
    """Run what ``options`` choose of the suite; all of that must pass. What it printed."""
    given = [f"--base-url={url}", f"--basetemp={scratch}", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "conformance", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    return done.stdout
