"""Images go from process to process in sealed files without a name, and leave no descriptor."""

import gc
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from greengrocer.serving.frames.shared_memory import (
    LEAST_SHARED,
    NoDescriptor,
    NotShared,
    SharingSocket,
    send_sharing,
    share,
)
from support.few_descriptors import descriptors_left

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has memfd_create")
IMAGE = bytes(range(256)) * 4000


def open_descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, SharingSocket]]:
    """A connection; both of its ends, and all that they hold, are closed at its end."""
    before = open_descriptors()
    left, right = socket.socketpair()
    with left, SharingSocket(right.detach()) as end:
        yield left, end
    assert open_descriptors() <= before


def send(left: socket.socket, image: bytes | memoryview, content: bytes = b"frame") -> None:
    descriptor = share(image)
    assert descriptor is not None
    assert send_sharing(left.fileno(), content, descriptor) == len(content)
    os.close(descriptor)


def test_an_image_is_read_from_the_file_that_came_with_its_frame(
    ends: tuple[socket.socket, SharingSocket],
) -> None:
    left, right = ends
    left.sendall(b"before")
    send(left, memoryview(IMAGE), b"first")
    left.sendall(b"between")
    send(left, IMAGE[:LEAST_SHARED], b"second")
    came = b""
    while len(came) < 24:
        came += right.recv(1 << 16)
    assert came == b"beforefirstbetweensecond"
    left.close()
    assert right.take(len(IMAGE)) == IMAGE
    assert right.take(LEAST_SHARED) == IMAGE[:LEAST_SHARED]


def test_descriptors_that_nobody_takes_are_closed(
    ends: tuple[socket.socket, SharingSocket],
) -> None:
    left, right = ends
    for _ in range(3):
        send(left, IMAGE)
    assert right.recv(1 << 16)
    assert right.recv(1 << 16)  # the third stays in the kernel


def test_nobody_can_change_a_shared_image() -> None:
    descriptor = share(IMAGE)
    assert descriptor is not None
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        with pytest.raises(PermissionError):
            file.write(b"other")
        with pytest.raises(PermissionError):
            file.truncate(10)


def test_what_is_no_sealed_file_of_that_length_is_not_mapped(
    ends: tuple[socket.socket, SharingSocket], tmp_path: Path
) -> None:
    left, right = ends
    with pytest.raises(NotShared, match="no descriptor"):
        right.take(10)
    (tmp_path / "file").write_bytes(IMAGE)
    changeable = os.memfd_create("x", os.MFD_ALLOW_SEALING)
    os.write(changeable, IMAGE)
    with open(tmp_path / "file", "rb") as file:  # noqa: PTH123
        for other in (changeable, file.fileno(), left.fileno()):
            assert send_sharing(left.fileno(), b"frame", other)
            right.recv(1 << 16)
            with pytest.raises(NotShared):
                right.take(len(IMAGE))
    os.close(changeable)
    send(left, IMAGE)
    right.recv(1 << 16)
    with pytest.raises(NotShared, match="cannot be read"):
        right.take(len(IMAGE) + 5000)


def test_a_full_socket_takes_neither_frame_nor_descriptor(
    ends: tuple[socket.socket, SharingSocket],
) -> None:
    left, right = ends
    left.setblocking(False)
    filled = 0
    with suppress(BlockingIOError):
        while True:
            filled += left.send(bytes(4096))
    descriptor = share(IMAGE)
    assert descriptor is not None
    assert send_sharing(left.fileno(), b"frame", descriptor) == 0
    os.close(descriptor)
    while filled:
        filled -= len(right.recv(1 << 16))
    with pytest.raises(NotShared):
        right.take(len(IMAGE))


def test_without_such_files_an_image_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "memfd_create", missing)
    assert share(IMAGE) is None


def test_a_process_without_a_descriptor_sends_none_and_says_which_image_it_cannot_read(
    ends: tuple[socket.socket, SharingSocket],
) -> None:
    left, right = ends
    descriptor = share(IMAGE)
    assert descriptor is not None
    with descriptors_left(os.getpid(), 0):
        assert share(IMAGE) is None
        assert send_sharing(left.fileno(), b"frame", descriptor) == 0
    os.close(descriptor)
    for free in (0, 1):  # none for the file, and none for its mapping
        send(left, IMAGE)
        send(left, IMAGE[:LEAST_SHARED])
        with descriptors_left(os.getpid(), free):
            assert right.recv(1 << 16) == b"frame"
            with pytest.raises(NoDescriptor):
                right.take(len(IMAGE))
        assert right.recv(1 << 16) == b"frame"
        assert right.take(LEAST_SHARED) == IMAGE[:LEAST_SHARED]
