"""A folder for a bundle while it is written, beside the one where it will be."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".greengrocer-unfinished-"


@contextmanager
def unfinished_folder(home: Path) -> Iterator[Path]:
    """A new folder in ``home``, which is removed at the end, whatever is left in it.

    A process that is killed leaves its own behind. The next removes it: a living process holds a
    lock on its folder. Raises OSError.
    """
    with suppress(OSError):  # a folder that may not be listed
        for each in home.iterdir():
            if each.name.startswith(PREFIX):
                _remove_if_left(each)
    folder, descriptor = _make_locked(home)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _make_locked(home: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=home))
        with suppress(FileNotFoundError):  # before it was locked, it looked as if it had been left
            descriptor = os.open(folder, os.O_RDONLY)
            with suppress(OSError):  # a network file system without locks: then nothing is removed
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _remove_if_left(folder: Path) -> None:
    with suppress(OSError):  # it is another user's, or a living process has it
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
