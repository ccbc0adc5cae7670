"""Run Greengrocer's commands to their end."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from support.servers import clean_environment

SECONDS = 600.0  # only a hang takes as long
Done = subprocess.CompletedProcess[str]


def run(
    *arguments: str,
    python: str = sys.executable,
    stdout: IO[str] | int = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """What came of a command; ``python`` may be a program that runs it elsewhere."""
    return subprocess.run(
        [python, "-m", "greengrocer", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment() | dict(environment or {}),
        check=False,
        timeout=SECONDS,
    )


def run_into(path: Path, *arguments: str) -> Done:
    """The same, with its answer going to ``path``."""
    with path.open("w") as file:
        return run(*arguments, stdout=file)


def mistake(done: Done) -> str:
    """The one line in which a command said why it ended with 2."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("greengrocer: ")]
    assert (done.returncode, len(lines)) == (2, 1), done.stderr
    assert "Traceback" not in done.stderr
    return lines[0]
