"""Run the black-box suite against a running service."""

import re
import subprocess
import sys
from pathlib import Path

from support.documents import ROOT

LONG = 600  # seconds: only a hang takes as long
TEST = r"^conformance/(\w+\.py::\w+)"


def pass_suite(url: str, scratch: Path, *options: str) -> str:
    """Run what ``options`` choose of the suite; all of that must pass. What it printed."""
    printed = _run(f"--base-url={url}", f"--basetemp={scratch}", *options)
    assert " passed" in printed
    return printed


def whole_suite() -> set[str]:
    """Every test of it, as file::function."""
    return set(re.findall(TEST, _run("--collect-only"), re.MULTILINE))


def passed(printed: str) -> set[str]:
    """The tests that passed, from what ``pass_suite`` printed with ``-vv``."""
    return set(re.findall(rf"{TEST}.* PASSED", printed, re.MULTILINE))


def _run(*options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "conformance", "-p", "no:cacheprovider", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
