"""Read files that a user names: only regular ones of bounded size, so that no read blocks."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

MAX_SETTINGS_BYTES = 1 << 20  # a file that a person writes: settings, keys, a recipe
MAX_LIST_BYTES = 64 << 20  # a file that lists a data set
MAX_IMAGE_BYTES = 1 << 28  # a file with an image; each thread that reads one holds all of it


class NotRegularFile(OSError):
    """The file is a pipe, socket or device, or has too many bytes."""


def open_regular(path: Path, flags: int = 0) -> BufferedReader:
    """Open the regular file at ``path`` for reading, with more ``flags`` of open(2) if given.

    Raises OSError, which NotRegularFile is: a pipe would block, a device may never end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except ValueError as error:  # a NUL in the path
        raise OSError(errno.EINVAL, "a path cannot contain a NUL", str(path)) from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise NotRegularFile(errno.EINVAL, "is not a regular file", str(path)) from error
        raise
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def write_whole(path: Path, text: str) -> None:
    """Put a file with ``text`` in UTF-8 in the place of what is at ``path``; raises OSError.

    A reader sees the old content or the new. A link or a pipe there is replaced, not written to.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("x", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _check_regular(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotRegularFile(errno.EINVAL, "is not a regular file", str(path))


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of the regular file at ``path``; raises OSError, also above ``max_bytes``."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = b"" if size > max_bytes else file.read(size + 1)  # it may have grown
    if max(size, len(data)) > max_bytes:
        raise NotRegularFile(errno.EFBIG, f"has over {max_bytes} bytes, the limit", str(path))
    return data
