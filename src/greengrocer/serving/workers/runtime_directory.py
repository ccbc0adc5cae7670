"""The private directory of a service's processes: the engine's socket, settings, metrics."""

import ctypes
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from threading import Thread
from time import sleep

from greengrocer.errors import UsageError

PR_SET_PDEATHSIG = 1  # of prctl(2)
PARENT_SECONDS = 1.0  # between two checks whether the parent lives
BACKLOG = 128
ENGINE_SOCKET = "engine.sock"
MOST_SOCKET = 103  # bytes of a Unix socket's path: macOS allows the fewest
MAX_DIRECTORY = MOST_SOCKET - 1 - len(ENGINE_SOCKET)
SETTINGS = "settings.json"
METRICS = "metrics"
METRIC_KINDS = ("counter", "histogram", "summary", "gauge_livesum", "gauge_livemax")  # a file each
METRICS_BYTES = 1 << 17  # of a file: room for some hundred series


def make_runtime_directory(processes: int) -> Path:
    """A new directory of mode 0700, on a disk with room for the metrics of ``processes``.

    Raises UsageError if it cannot be made.
    """
    directory = None
    try:
        directory = Path(tempfile.mkdtemp(prefix="greengrocer-"))
        (directory / METRICS).mkdir(mode=0o700)
        _reserve(directory / "room", processes * len(METRIC_KINDS) * METRICS_BYTES)
        (directory / "room").unlink()
    except OSError as error:
        if directory is not None:
            remove_runtime_directory(directory)
        raise UsageError(
            "--workers needs a directory to write to, which TMPDIR may name: "
            f"{error.strerror or error}"
        ) from error
    if len(os.fsencode(directory)) > MAX_DIRECTORY:
        remove_runtime_directory(directory)
        raise UsageError(
            "--workers needs a directory whose path is short enough for a socket: have TMPDIR name "
            f"one of at most {MAX_DIRECTORY - len(directory.name) - 1} bytes"
        )
    return directory


def reserve_metrics(directory: Path, slot: str) -> None:
    """Reserve the metrics files of the process in ``slot``. Raises OSError if the disk is full.

    The counts of a dead process in the slot stay. prometheus_client maps sparse files: on a full
    disk a process dies when it first writes into a hole.
    """
    for kind in METRIC_KINDS:
        _reserve(directory / METRICS / f"{kind}_{slot}.db", METRICS_BYTES)


def _reserve(path: Path, size: int) -> None:
    """Make the file at least ``size`` bytes long, with all blocks allocated."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(max(0, size - file.seek(0, os.SEEK_END))))


def remove_runtime_directory(directory: Path) -> None:
    """Remove the directory and its contents. Several processes may do so at once."""
    shutil.rmtree(directory, ignore_errors=True)


def listen_privately(path: Path) -> socket.socket:
    """A listening Unix socket of mode 0600 at ``path``.

    The supervisor keeps it open, so it outlives an engine. A client that connects while there is
    no engine waits for the next one.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(BACKLOG)
    return listener


def write_privately(path: Path, text: str) -> None:
    """Write a new file of mode 0600. Raises FileExistsError if there is one."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def replace_privately(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step. On a full disk the old file stays as it was."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    write_privately(new, text)
    new.replace(path)


def forget_metrics_of_dead(directory: Path, slot: str) -> None:
    """Remove a dead process's live gauges. Its counts stay, because a sum must never fall.

    The next process in the slot goes on counting in the same files. This does what
    prometheus_client's ``mark_process_dead`` does, without the memory of importing it.
    """
    for file in (directory / METRICS).glob(f"gauge_live*_{slot}.db"):
        file.unlink(missing_ok=True)


def end_with(parent: int, signum: signal.Signals) -> None:
    """Have ``signum`` sent to this process when its parent, the process ``parent``, dies.

    On Linux the kernel sends it. Elsewhere a thread checks the parent every second.
    """
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    except (OSError, AttributeError):  # only Linux has prctl
        Thread(target=_watch, args=(parent, signum), name="parent", daemon=True).start()
    if os.getppid() != parent:  # the parent died before prctl was called
        os.kill(os.getpid(), signum)


def _watch(parent: int, signum: signal.Signals) -> None:
    while os.getppid() == parent:
        sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signum)
