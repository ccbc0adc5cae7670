"""A helper process beside a measurement: a line of numbers goes in, a line of JSON comes out.

So its processor time can be told apart from that of the rest.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Companion:
    """The process, as seen from the measurement."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, *numbers: float) -> None:
        """Let it begin; ``answer`` waits until it is done. A truth is 0 or 1."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(str(float(number)) for number in numbers) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """What it found."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended without an answer")
        return json.loads(line)


@contextmanager
def companion(module: str, *arguments: str) -> Iterator[Companion]:
    """Start ``module``, which calls ``serve``, and end it afterwards."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Companion(process)
    finally:
        process.communicate("")


def serve(work: Callable[..., object]) -> None:
    """In the companion: answer every line with what ``work`` returns for its numbers."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(work(*map(float, line.split()))) + "\n")
        sys.stdout.flush()
