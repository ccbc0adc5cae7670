"""Files that a person names: plain ones of bounded size, so that no read goes on for ever."""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

SETTINGS_BYTES = 1 << 20  # of a file that a person writes: settings, keys, a recipe
LIST_BYTES = 64 << 20  # of a file that lists a data set
PICTURE_BYTES = 1_000_000_000  # the most that --max-image-bytes can say


class NotPlain(OSError):
    """A directory, pipe, socket or device, or a plain file with too many bytes."""


def open_plain(path: Path, flags: int = 0) -> BufferedReader:
    """The plain file at ``path``, to be read; ``flags`` are of open(2), beside those of reading.

    Raises OSError, NotPlain among them: a pipe would be waited for, a device read without an end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except ValueError as error:  # what the system calls cannot even say
        raise OSError(errno.EINVAL, "a path cannot contain a NUL", str(path)) from error
    except OSError as error:
        if error.errno == errno.ENXIO:  # a socket
            raise NotPlain(errno.EINVAL, "is not a regular file", str(path)) from error
        raise
    try:
        _check_plain(path, os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_plain(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise NotPlain(errno.EINVAL, "is not a regular file", str(path))


def read_plain(path: Path, most: int) -> bytes:
    """All of the plain file at ``path``; raises OSError, also where it has over ``most`` bytes."""
    with open_plain(path) as file:
        data = file.read(min(most, os.fstat(file.fileno()).st_size) + 1)
    if len(data) > most:
        raise NotPlain(errno.EFBIG, f"has over {most} bytes, the limit", str(path))
    return data
