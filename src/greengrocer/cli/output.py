"""What the commands print and return: words for a person, JSON for a program."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MISTAKE = 2  # the exit code of whatever a person can mend


def say(line: str = "") -> None:
    """A line of the answer, on standard output."""
    # A file's name may hold bytes that are no UTF-8.
    sys.stdout.write(line.encode(errors="backslashreplace").decode() + "\n")


def say_json(value: object) -> None:
    """One JSON object on one line, on standard output."""
    say(json.dumps(value, ensure_ascii=False))


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Whoever reads standard output may stop: then the block ends, and nothing is said of it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would flush once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn(line: str) -> None:
    """A line about the way to the answer, on standard error."""
    sys.stderr.write(line + "\n")
