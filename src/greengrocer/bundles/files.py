"""A bundle's files: only regular ones, of bounded size. The bundle may be a stranger's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from greengrocer.errors import BundleRefused
from greengrocer.regular_files import NotRegularFile, open_regular

MAX_BYTES = 200_000_000  # of all files together; of the bundles that ship the larger has 20 MB


@contextmanager
def opened(directory: Path, name: str) -> Iterator[BufferedReader]:
    """The file ``name`` of the bundle in ``directory``, to be read.

    Raises BundleRefused, in one line, where it is missing, cannot be read, or is not a regular
    file: a pipe would block, a device may never end, a link may lead out of the bundle.
    """
    path = directory / name
    try:
        if path.is_symlink() or not path.resolve().is_relative_to(directory.resolve()):
            raise refused(directory, name, "is a link")
        with open_regular(path, os.O_NOFOLLOW) as file:
            yield file
    except (NotRegularFile, IsADirectoryError) as error:
        raise refused(directory, name, "is not a regular file") from error
    except OSError as error:
        raise refused(directory, name, error.strerror or str(error), ":") from error


def read(directory: Path, name: str, most: int = MAX_BYTES) -> bytes:
    """The whole file; raises BundleRefused, also where it has more than ``most`` bytes."""
    with opened(directory, name) as file:
        data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > most:
        raise refused(directory, name, f"is over {most} bytes")
    return data


def refused(directory: Path, name: str, why: str, mark: str = "") -> BundleRefused:
    """Why the file ``name`` makes the bundle unusable."""
    return BundleRefused(f"bundle {directory}: {name}{mark} {why}")
