"""Run ``greengrocer train`` to its end, or kill it at a given point."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.servers import clean_environment

LIMIT = 600.0  # seconds; only a hang takes as long
STANDS = "stands still"

# Runs a command of greengrocer's, but stands still where it is about to open or to rename a file
# to a name for the so manieth time.
STANDING = f"""
import os, sys, threading
from pathlib import Path
from greengrocer.cli.main import main

event, name, times, *arguments = sys.argv[1:]
left = int(times)

def stand_still(what, details):
    global left
    if what != event:
        return
    paths = [Path(detail) for detail in details if isinstance(detail, (str, os.PathLike))]
    left -= name in [path.name for path in paths]
    if left == 0:
        print({STANDS!r}, flush=True)
        threading.Event().wait()

sys.addaudithook(stand_still)
sys.exit(main(arguments))
"""


class Training(NamedTuple):
    """What to train: the recipe, the images, and further flags."""

    recipe: Path
    data: Path
    flags: tuple[str, ...] = ()

    def command(self, out: Path) -> list[str]:
        """The command line, without the program, that writes the bundle ``out``."""
        # Graphics processors add up in no certain order.
        places = ["--recipe", self.recipe, "--data", self.data, "--out", out, "--device", "cpu"]
        return ["train", *map(str, places), *self.flags]

    def finish(self, out: Path) -> list[str]:
        """Run it to its end, and return the lines that it printed."""
        with _started("-m", "greengrocer", *self.command(out)) as process:
            lines = list(_lines(process))
        assert process.returncode == 0, "".join(lines)
        return lines

    def kill_at_line(self, out: Path, start: str, times: int) -> list[str]:
        """Kill it when a line that begins with ``start`` comes for the so manieth time."""
        return _kill(["-m", "greengrocer", *self.command(out)], start, times)

    def kill_at_file(self, out: Path, event: str, name: str, times: int) -> list[str]:
        """Kill it just before a file called ``name`` is opened, or something renamed to it.

        ``event`` is Python's audit event: "open" or "os.rename".
        """
        return _kill(["-c", STANDING, event, name, str(times), *self.command(out)], STANDS, 1)


def _kill(arguments: Sequence[str], start: str, times: int) -> list[str]:
    with _started(*arguments) as process:
        lines = []
        for line in _lines(process):
            lines.append(line)
            times -= line.startswith(start)
            if times == 0:
                process.kill()
    assert process.returncode == -signal.SIGKILL, "".join(lines)
    assert times <= 0, "".join(lines)
    return lines


@contextmanager
def _started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process; the order of sums, and with it the last bit, depends on its threads."""
    environment = clean_environment() | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        hung = threading.Timer(LIMIT, process.kill)
        hung.start()
        try:
            yield process
        finally:
            process.kill()
            hung.cancel()


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Its lines as they come, to the last that it wrote."""
    assert process.stdout is not None
    yield from process.stdout
    process.wait(LIMIT)
