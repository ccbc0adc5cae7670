"""The control socket: a private Unix socket, on which a service answers orders.

An order and its answer are one line of JSON each.
"""

import asyncio
import os
import select
import socket
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import structlog

from greengrocer.errors import ControlRefused
from greengrocer.locks import locked
from greengrocer.safe_text import MAX_NAME, one_line
from greengrocer.stores.interruptible import break_off

LINE_BYTES = 1 << 16
LINE_SECONDS = 10.0  # to receive a line; then the connection is closed
DYING_SECONDS = 1.0  # in which the system closes the sockets of a process that was killed
BACKLOG = 8
NO_OBJECT = {"ok": False, "error": "an order must be one line with a JSON object"}
FAILED = {"ok": False, "error": "the service failed at this order: its log has the error"}

log = structlog.get_logger("greengrocer.models")

Message = dict[str, Any]
Obey = Callable[[Message], Awaitable[Message]]


def control_path(port: int) -> Path | None:
    """The path of this user's socket for ``port``; None where no directory can be written."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK | os.X_OK):
        return Path(runtime, "greengrocer", f"{port}.sock")
    try:
        return Path(tempfile.gettempdir(), f"greengrocer-{os.geteuid()}", f"{port}.sock")
    except FileNotFoundError:
        return None


@contextmanager
def control_socket(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at ``path``, for this user only; its file is removed at the end.

    Raises ControlRefused where the directory is not private or another service uses the path.
    """
    _make_private(path.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            with locked(path.parent):  # before it listens, a bound socket looks stale
                _remove_stale(path)
                listener.bind(str(path))
                path.chmod(0o600)
                ours = path.lstat().st_ino
                listener.listen(BACKLOG)
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
        try:
            yield listener
        finally:
            with suppress(OSError):
                if path.lstat().st_ino == ours:
                    path.unlink()


class ControlServer:
    """Answers the line of each connection by ``obey``, inside its ``async with`` block.

    An order whose client has gone stops to fetch its bundle. One that is further goes on.
    """

    def __init__(self, listener: socket.socket, obey: Obey) -> None:
        self.listener = listener
        self.obey = obey
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self.listener, limit=LINE_BYTES
        )

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if line := await _line(reader):
                order = asyncio.create_task(self._answer(line))
                left = asyncio.create_task(_break_off_if_left(order, reader, writer))
                try:
                    answer = await order
                finally:
                    left.cancel()
                writer.write(answer + b"\n")
                with suppress(OSError):  # the client disconnected
                    await writer.drain()
        except asyncio.CancelledError:  # the service stops; asyncio would log a traceback
            return
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> bytes:
        try:
            message = orjson.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return orjson.dumps(NO_OBJECT)
        try:
            return orjson.dumps(await self.obey(message))
        except Exception:  # whatever it is, the client must be told
            log.exception("order failed", order=one_line(str(message.get("order")), MAX_NAME))
            return orjson.dumps(FAILED)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """A client's line; empty where none arrives in time, or it is too long."""
    try:
        async with asyncio.timeout(LINE_SECONDS):
            return await reader.readline()
    except (OSError, ValueError):
        return b""


async def _break_off_if_left(
    order: asyncio.Task[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Break an order off once its client has closed the connection, and not only its half of it."""
    with suppress(OSError):
        while await reader.read(LINE_BYTES):  # it may send more, which is no order
            pass
    poll = select.poll()
    poll.register(writer.get_extra_info("socket").fileno(), 0)
    if any(event & select.POLLHUP for _, event in poll.poll(0)):
        break_off(order)


def ask(path: Path, order: Message) -> Message:
    """The answer of the service whose control socket is at ``path``; waits without a limit.

    Raises ControlRefused where no service answers.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
            client.sendall(orjson.dumps(order) + b"\n")
            with client.makefile("rb") as answers:
                line = answers.readline()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise _refused(
                path,
                f"{reason}: is a service running? Name it as it was started: --port N, "
                "--control-socket PATH or --config FILE",
            ) from error
    if not line.endswith(b"\n"):
        raise _refused(path, "the service ended without an answer: see its log")
    try:
        answer = orjson.loads(line)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _refused(path, "the process that answers is not greengrocer")
    return answer


def remove_stale(path: Path) -> None:
    """Remove the socket of a service that has died. Raises ControlRefused while it runs."""
    with suppress(FileNotFoundError), locked(path.parent):
        _remove_stale(path)


def _remove_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise _refused(path, "is not a socket: remove it, or give another --control-socket")
    except FileNotFoundError:
        return
    if _listens(path):
        raise _refused(path, "a running service uses it: give this one another --control-socket")
    path.unlink(missing_ok=True)


def _make_private(directory: Path) -> None:
    """Make ``directory`` if it is missing; refuse one that others own or can enter."""
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        found = directory.lstat()
    except OSError as error:
        raise _refused(directory, (error.strerror or str(error)).lower()) from error
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not private or found.st_uid != os.geteuid():
        raise _refused(
            directory, "must be a directory of yours that others cannot enter (mode 0700)"
        )


def _listens(path: Path) -> bool:
    """Whether a service listens at ``path``, and was not just killed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(DYING_SECONDS)
        try:
            probe.connect(str(path))
            probe.recv(1)  # empty once it has died; a running one waits for a line
        except TimeoutError:
            return True
        except (ConnectionRefusedError, ConnectionResetError):
            return False
        except OSError as error:
            raise _refused(path, (error.strerror or str(error)).lower()) from error
        return False


def _refused(path: Path, reason: str) -> ControlRefused:
    return ControlRefused(f"control socket {path}: {reason}")
