"""What the commands print, and their exit codes."""

import errno
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from greengrocer.safe_text import escaped, one_line, unsafe

MISTAKE = 2  # exit code of what the user can fix
INTERRUPTED = 130  # exit code of Ctrl-C
# The disk is full or read-only, or descriptors or memory are used up.
LACKS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    errno.EBADF,  # standard output is closed
}


def say(line: str = "") -> None:
    """Print to standard output, one line or several; control characters are escaped."""
    sys.stdout.write(escaped(line, keep="\n\t") + "\n")


def say_json(value: object) -> None:
    """Print one JSON object on one line to standard output."""
    # unsafe characters occur only in its strings, where these escapes are valid JSON
    text = json.dumps(value, ensure_ascii=False)
    sys.stdout.write("".join(json.dumps(c)[1:-1] if unsafe(c) else c for c in text) + "\n")


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """End the block quietly when the reader of standard output closes it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)


def let_go(stream: TextIO) -> None:
    """Flush ``stream``, or drop what is left: Python would try again at exit, and fail."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def lacking(error: OSError) -> int:
    """Report what the machine lacks or which path failed; other errors are raised again."""
    if error.errno not in LACKS and error.filename is None:
        raise error
    where = "" if error.filename is None else f": {error.filename}"
    complain(f"{error.strerror}{where}")
    return MISTAKE


def complain(line: str) -> None:
    """Print why the command failed to standard error."""
    with suppress(OSError):
        warn(f"greengrocer: {line}")


def warn(line: str) -> None:
    """Print one line to standard error."""
    sys.stderr.write(one_line(line) + "\n")
