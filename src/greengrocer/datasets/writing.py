"""Writing where a person said to: whole files or none, one run at a time, one line on failure."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from greengrocer.errors import UsageError


@contextmanager
def write_errors_as_usage_errors(target: Path) -> Iterator[None]:
    """Turn an OSError (full disk, read-only, no permission) into a UsageError on ``target``."""
    try:
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename not in (None, str(target)) else ""
        raise UsageError(
            f"cannot write to {target}: {error.strerror or error}{where}; "
            "make room or name another directory with --data"
        ) from error


@contextmanager
def directory_held(directory: Path) -> Iterator[None]:
    """Create ``directory`` if need be, and keep every other run out of it.

    Raises UsageError where it is no directory, cannot be created, or another run has it.
    """
    with write_errors_as_usage_errors(directory):
        created = not directory.exists()
        if not created and not directory.is_dir():
            raise UsageError(f"{directory} is not a directory: name another with --data")
        directory.mkdir(parents=True, exist_ok=True)
        # The lock is on the directory itself: nothing to clean up, and it ends with the process.
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with write_errors_as_usage_errors(directory):
            _lock(held, directory)
        yield
    finally:
        os.close(held)
        if created:  # an empty directory would look like a data set without images
            with suppress(OSError):
                directory.rmdir()


def _lock(held: int, directory: Path) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"another download into {directory} is running: wait for it, or end it"
        ) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that at no moment there is half a file.

    Raises OSError where it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
