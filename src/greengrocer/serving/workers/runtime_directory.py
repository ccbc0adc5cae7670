"""The directory that only these processes may enter: the engine's socket, settings, metrics."""

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
PARENT_SECONDS = 1.0  # between two looks at whether it lives
BACKLOG = 128
ENGINE_SOCKET = "engine.sock"
MOST_SOCKET = 103  # bytes of a Unix socket's path, where fewest are allowed (macOS)
MAX_DIRECTORY = MOST_SOCKET - 1 - len(ENGINE_SOCKET)
SETTINGS = "settings.json"
METRICS = "metrics"
METRIC_KINDS = ("counter", "histogram", "gauge_livesum", "gauge_livemax")  # a file for each
METRICS_BYTES = 1 << 17  # of a file: some hundred series


def make_runtime_directory(processes: int) -> Path:
    """A fresh directory of mode 0700, with room for the metrics of so many processes.

    Raises UsageError where there is no place for it.
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
    """Take the room for the metrics of the process in ``slot`` now; raises OSError without any.

    What a dead process in the slot has counted stays. prometheus_client maps files with holes: on
    a full disk, who first writes into a hole dies.
    """
    for kind in METRIC_KINDS:
        _reserve(directory / METRICS / f"{kind}_{slot}.db", METRICS_BYTES)


def _reserve(path: Path, size: int) -> None:
    """A file of so many zeros, which are really there."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.write(bytes(max(0, size - file.seek(0, os.SEEK_END))))


def remove_runtime_directory(directory: Path) -> None:
    """Remove it with all that is in it; several processes may try at once."""
    shutil.rmtree(directory, ignore_errors=True)


def listen_privately(path: Path) -> socket.socket:
    """A listening Unix socket of mode 0600 at ``path``.

    The supervisor keeps it open, so that it outlives an engine: who connects while there is none
    waits for the next.
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
    """A new file of mode 0600."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def replace_privately(path: Path, text: str) -> None:
    """The same where there may be one already, which stays as it is if there is no room."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    write_privately(new, text)
    new.replace(path)


def forget_metrics_of_dead(directory: Path, slot: str) -> None:
    """Remove a dead process's gauges of what is live; its counts stay, for sums never fall.

    The next process in its slot goes on counting in the same files. It is prometheus_client's
    ``mark_process_dead``, without the memory that importing it takes.
    """
    for file in (directory / METRICS).glob(f"gauge_live*_{slot}.db"):
        file.unlink(missing_ok=True)


def end_with(parent: int, signum: signal.Signals) -> None:
    """Have ``signum`` sent to us when the process ``parent``, our parent, dies.

    The kernel sends it where it can; elsewhere a thread looks every now and then.
    """
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    except (OSError, AttributeError):  # Linux alone has it
        Thread(target=_watch, args=(parent, signum), name="parent", daemon=True).start()
    if os.getppid() != parent:  # it died before we had asked
        os.kill(os.getpid(), signum)


def _watch(parent: int, signum: signal.Signals) -> None:
    while os.getppid() == parent:
        sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signum)
