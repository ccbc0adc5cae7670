"""What the commands print and return: words for a person, JSON for a program."""

import json
import sys

MISTAKE = 2  # the exit code of whatever a person can mend


def say(line: str = "") -> None:
    """A line of the answer, on standard output."""
    # A file's name may hold bytes that are no UTF-8.
    sys.stdout.write(line.encode(errors="backslashreplace").decode() + "\n")


def say_json(value: object) -> None:
    """One JSON object on one line, on standard output."""
    say(json.dumps(value, ensure_ascii=False))


def warn(line: str) -> None:
    """A line about the way to the answer, on standard error."""
    sys.stderr.write(line + "\n")
