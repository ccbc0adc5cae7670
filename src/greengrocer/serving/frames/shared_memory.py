"""Images in memory that two processes share: a file without a name, passed over their socket."""

import errno
import fcntl
import mmap
import os
import socket
import sys
from collections import deque
from contextlib import suppress

LEAST_SHARED = 1 << 16  # bytes: a smaller image costs less in its frame
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # of descriptors, or of memory to map a file


class NotShared(Exception):
    """The descriptor that should have come with a frame is missing, or not that of an image."""


class NoDescriptor(Exception):
    """An image came, but this process has too few descriptors, or too little memory, for it."""


def share(image: bytes | memoryview) -> int | None:
    """The descriptor of a copy of ``image`` that nobody can change or shrink any more.

    None where the system has no such files, or too little memory or too few descriptors for one.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.memfd_create("greengrocer-image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return None
    try:
        left = memoryview(image)
        while left:
            left = left[os.write(descriptor, left) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _seals())
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _seals() -> int:
    """Keep the file's length and content: a reader of a file that shrinks is killed (SIGBUS)."""
    if sys.platform != "linux":
        return 0
    return fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class SharingSocket(socket.socket):
    """A socket that keeps the descriptors which come with its bytes.

    asyncio's transport of it reads with ``recv`` (uvloop's does not, and loses them).
    """

    __slots__ = ("_descriptors",)

    def __init__(self, descriptor: int) -> None:
        super().__init__(fileno=descriptor)
        self._descriptors: deque[int | None] = deque()  # None: one that the kernel had to drop

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As ``socket.recv``."""
        data, descriptors, told, _ = socket.recv_fds(self, bufsize, 1, flags)
        self._descriptors += descriptors
        if told & socket.MSG_CTRUNC and not descriptors:
            self._descriptors.append(None)
        return data

    def take(self, length: int) -> memoryview:
        """The image of ``length`` bytes whose descriptor is the next one.

        Raises NotShared, or NoDescriptor where only this process is to blame.
        """
        if sys.platform != "linux" or not self._descriptors:
            raise NotShared("no descriptor came with it")
        descriptor = self._descriptors.popleft()
        if descriptor is None:
            raise NoDescriptor("the process has no descriptor left")
        try:
            if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) != _seals():
                raise NotShared("its file can be changed")
            return memoryview(mmap.mmap(descriptor, length, prot=mmap.PROT_READ))
        except (OSError, ValueError) as error:  # no such file, or a shorter one
            if isinstance(error, OSError) and error.errno in SHORT:
                raise NoDescriptor(f"its file cannot be mapped: {error.strerror}") from None
            raise NotShared(f"its file cannot be read: {error}") from None
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close it, and the descriptors that nobody has taken."""
        while self._descriptors:
            if (descriptor := self._descriptors.popleft()) is not None:
                with suppress(OSError):
                    os.close(descriptor)
        super().close()


def send_sharing(number: int, content: bytes | bytearray, descriptor: int) -> int:
    """Send ``content`` and ``descriptor`` over the socket ``number``.

    Returns how many bytes were sent: 0 if the socket takes none now, or this process has no
    descriptor left, and then no descriptor either.
    """
    try:
        with socket.socket(fileno=os.dup(number)) as end:
            return socket.send_fds(end, [content], [descriptor])
    except OSError:
        return 0
