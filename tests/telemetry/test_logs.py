"""The log has a failure's traceback without the values of its variables."""

import fcntl
import os
import select
import subprocess
import sys

import pytest

from greengrocer.telemetry.logs import NonBlockingWriter
from support.servers import clean_environment

PROGRAM = """
import sys, structlog
from greengrocer.telemetry.logs import configure_logs

def fail(image):
    raise RuntimeError("no such thing")

configure_logs("info", sys.argv[1])
try:
    fail(b"private" + b" parts")
except RuntimeError:
    structlog.get_logger("test").exception("failed")
"""


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_traceback_has_no_values_of_variables(style: str) -> None:
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


def test_a_truncated_line_does_not_corrupt_the_next() -> None:
    read, write = os.pipe()
    room = fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 2 * select.PIPE_BUF)
    with os.fdopen(read, "rb", buffering=0) as reader, os.fdopen(write, "w") as writer:
        log = NonBlockingWriter(writer)
        log.write("x" * 2 * room + "\n")
        log.write("lost\n")
        cut = reader.read(2 * room)
        assert cut == b"x" * len(cut)
        log.write("whole\n")
        log.write("and the next\n")
        assert reader.read(room) == b"\nwhole\nand the next\n"


HOSTILE = """
import logging, structlog
from greengrocer.telemetry.logs import configure_logs

configure_logs("info", "text")
evil = "a\\x1b[2J\\x9b\\u202e\\nforged line"
structlog.get_logger("test").info(evil, value=evil)
logging.getLogger("other").warning(evil)
try:
    raise RuntimeError("\\x1b[2J\\x9b\\u202e")
except RuntimeError:
    structlog.get_logger("test").exception("failed")
"""


def test_control_characters_and_line_breaks_are_escaped() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(c.isprintable() or c == "\n" for c in done.stderr)
    lines = done.stderr.splitlines()
    assert sum("forged line" in line for line in lines) == 2
    assert not [line for line in lines if line.startswith("forged")]
