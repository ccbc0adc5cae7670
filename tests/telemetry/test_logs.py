"""The log: a failure's traceback is there, the values of its variables are not."""

import subprocess
import sys

import pytest

from support.servers import clean_environment

PROGRAM = """
import sys, structlog
from greengrocer.telemetry.logs import configure_logs

def fail(picture):
    raise RuntimeError("no such thing")

configure_logs("info", sys.argv[1])
try:
    fail(b"private" + b" parts")
except RuntimeError:
    structlog.get_logger("test").exception("failed")
"""


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_traceback_has_no_values(style: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, style],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no such thing" in done.stderr
    assert "in fail" in done.stderr
    assert "private parts" not in done.stderr
