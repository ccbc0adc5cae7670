"""A program that sees other file systems than everybody else: small ones, or nothing to write to.

It runs in a mount namespace of its own, for which nobody need be root.
"""

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

UNSHARE = "unshare --map-root-user --mount sh -c"
READ_ONLY = "mount -o remount,bind,ro /"


def small_disk(directory: Path, kilobytes: int) -> str:
    """What mounts a disk of that size at ``directory``."""
    return f"mount -t tmpfs -o size={kilobytes}k none {shlex.quote(str(directory))}"


def python_that_sees(directory: Path, *mounts: str) -> str:
    """A program, written into ``directory``, that is Python under these ``mounts``."""
    program = directory / "python"
    script = shlex.quote(" && ".join([*mounts, 'exec "$@"']))
    program.write_text(f'#!/bin/sh\nexec {UNSHARE} {script} sh {sys.executable} "$@"\n')
    program.chmod(0o755)
    tried = subprocess.run([program, "-c", ""], capture_output=True, text=True, check=False)
    if tried.returncode and "REQUIRE_DEBIAN_PROGRAMS" not in os.environ:
        pytest.skip(f"needs a mount namespace: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    return str(program)


def seen_by(pid: int, path: Path) -> Path:
    """What the process ``pid`` sees at ``path``."""
    return Path(f"/proc/{pid}/root{path}")


def fill(directory: Path) -> Path:
    """Leave no room on the disk of ``directory``; to remove the file makes room again."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12):
            with suppress(OSError):
                while True:
                    file.write(bytes(block))
    return ballast
