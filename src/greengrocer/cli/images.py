"""Image files, found in folders and read."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from greengrocer.cli.output import warn
from greengrocer.datasets.dataset import SUFFIXES
from greengrocer.errors import EmptyImage, UnreadableImage
from greengrocer.imaging.formats import suffixes_of_extra
from greengrocer.regular_files import MAX_IMAGE_BYTES, read_regular

STANDARD_INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")  # may be a pipe


class Found(NamedTuple):
    """Image files, and how many folders could not be read."""

    files: list[Path]
    unreadable: int


def find_images(paths: Sequence[Path]) -> Found:
    """The ``paths``, each folder replaced by the images below it, in order of their names.

    A folder without any stays as it is. One that cannot be read is reported and left out.
    """
    files: list[Path] = []
    unreadable: list[OSError] = []
    for path in paths:
        files += _below(path, unreadable) if _is_folder(path) else [path]
    return Found(files, len(unreadable))


def read_image(path: Path) -> bytes:
    """The file's bytes; raises UnreadableImage where it cannot be read."""
    try:
        if str(path) in STANDARD_INPUT:
            return sys.stdin.buffer.read(MAX_IMAGE_BYTES)
        return read_regular(path, MAX_IMAGE_BYTES)
    except IsADirectoryError as error:
        kinds = ", ".join(sorted(SUFFIXES))
        raise EmptyImage(f"the folder has no image files ({kinds})") from error
    except OSError as error:
        raise UnreadableImage(error.strerror or "the file cannot be read") from error


def _is_folder(path: Path) -> bool:
    """Whether it is one; what cannot be accessed is reported when it is read."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _below(folder: Path, unreadable: list[OSError]) -> list[Path]:
    before = len(unreadable)
    files = [
        Path(home, name)
        for home, _, names in os.walk(folder, onerror=unreadable.append)
        for name in names
    ]
    for error in unreadable[before:]:
        warn(f"greengrocer: {error.filename}: {error.strerror}: folder skipped")
    missing = suffixes_of_extra()
    left_out = sum(file.suffix.lower() in missing for file in files)
    if left_out:
        warn(
            f"greengrocer: {folder}: {left_out} HEIC or AVIF files skipped: install the extra heif"
        )
    found = sorted(file for file in files if file.suffix.lower() in SUFFIXES)
    return found or ([folder] if len(unreadable) == before else [])
