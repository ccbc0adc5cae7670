"""What the commands print and return: words for a person, JSON for a program."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from greengrocer.safe_text import escaped, one_line, unsafe

MISTAKE = 2  # the exit code of whatever a person can mend
INTERRUPTED = 130  # that of Ctrl-C
# A disk that is full or may not be written to, and descriptors or memory that are used up.
LACKS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}


def say(line: str = "") -> None:
    """A line of the answer, or several, on standard output; nothing in it moves a terminal."""
    sys.stdout.write(escaped(line, keep="\n\t") + "\n")


def say_json(value: object) -> None:
    """One JSON object on one line, on standard output."""
    # what is unsafe can only stand in its strings, where this is an escape of JSON's own
    text = json.dumps(value, ensure_ascii=False)
    sys.stdout.write("".join(json.dumps(c)[1:-1] if unsafe(c) else c for c in text) + "\n")


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """Whoever reads standard output may stop: then the block ends, and nothing is said of it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)


def let_go(stream: TextIO) -> None:
    """Write what is left, or lose it: Python would try once more at its end, and fail."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def lacking(error: OSError) -> int:
    """Complain of what the machine lacks, or of a path; another ``error`` is raised on."""
    if error.errno not in LACKS and error.filename is None:
        raise error
    where = "" if error.filename is None else f": {error.filename}"
    complain(f"{error.strerror}{where}")
    return MISTAKE


def complain(line: str) -> None:
    """Why there is no answer, on standard error."""
    with suppress(OSError):
        warn(f"greengrocer: {line}")


def warn(line: str) -> None:
    """A line about the way to the answer, on standard error."""
    sys.stderr.write(one_line(line) + "\n")
