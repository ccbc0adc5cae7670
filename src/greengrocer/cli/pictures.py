"""Images on disk, found in folders."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from greengrocer.cli.output import warn
from greengrocer.datasets.labelled import SUFFIXES
from greengrocer.errors import EmptyImage, UnreadableImage, UsageError
from greengrocer.imaging.formats import suffixes_of_extra
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # may be a pipe


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """The ``paths``, each folder replaced by the images below it, in order of their names.

    A folder without any stays as it is. Raises UsageError for one that cannot be read.
    """
    return [found for path in paths for found in (_below(path) if _is_folder(path) else [path])]


def read_picture(path: Path) -> bytes:
    """The file's bytes; raises UnreadableImage where it cannot be read."""
    try:
        if str(path) in STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_IMAGE_BYTES)
        return read_regular(path, MAX_IMAGE_BYTES)
    except IsADirectoryError as error:
        kinds = ", ".join(sorted(SUFFIXES))
        raise EmptyImage(f"the folder holds no image ({kinds})") from error
    except OSError as error:
        raise UnreadableImage(error.strerror or "the file cannot be read") from error


def _is_folder(path: Path) -> bool:
    """Whether it is one; what cannot be looked at is told of in its turn."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _below(folder: Path) -> list[Path]:
    files = [
        Path(home, name)
        for home, _, names in os.walk(folder, onerror=_unreadable)
        for name in names
    ]
    missing = suffixes_of_extra()
    left_out = sum(file.suffix.lower() in missing for file in files)
    if left_out:
        warn(f"greengrocer: {folder}: {left_out} HEIC or AVIF left out: install the extra heif")
    return sorted(file for file in files if file.suffix.lower() in SUFFIXES) or [folder]


def _unreadable(error: OSError) -> NoReturn:
    raise UsageError(f"{error.filename}: {error.strerror}") from error
