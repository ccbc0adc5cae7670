"""Run programs under strace to find the network connections that they open."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.waiting import until

SPEAKING = "connect,sendto,sendmsg,sendmmsg"  # each names an address, unless a connection is there
NETWORK = ("sa_family=AF_INET,", "sa_family=AF_INET6,")


def needs_strace() -> None:
    """Skip where it is missing, or may trace nothing."""
    if "REQUIRE_DEBIAN_PROGRAMS" in os.environ:
        return
    if shutil.which("strace") is None:
        pytest.skip("needs strace, from Debian's package of that name")
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False)
    if tried.returncode:
        pytest.skip("strace may trace nothing here")


def traced_python(directory: Path) -> tuple[str, Path]:
    """A program that is this Python, and the file of what it and its children say to whom."""
    program, trace = directory / "python", directory / "trace"
    # -D: the program, not strace, is the child that is sent signals
    tracing = f"strace -D -f -q -e trace={SPEAKING} -o {trace}"
    program.write_text(f'#!/bin/sh\nexec {tracing} {sys.executable} "$@"\n')
    program.chmod(0o755)
    return str(program), trace


def spoken_to(trace: Path, pid: int) -> list[str]:
    """The calls that name an address of a network, until the process ``pid`` has ended."""
    text = until(lambda: _whole(trace, pid))
    return [line for line in text.splitlines() if any(family in line for family in NETWORK)]


def _whole(trace: Path, pid: int) -> str:
    text = trace.read_text(errors="replace")
    # a number of less than five digits is padded
    return text if re.search(rf"^{pid} +\+\+\+ exited with 0", text, re.MULTILINE) else ""
