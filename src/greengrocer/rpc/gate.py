"""Where clients of gRPC connect: its library gets their calls once its limits hold for them.

``settled.py`` says why. Afterwards the bytes of a client are only passed on.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog

from greengrocer.errors import UsageError
from greengrocer.rpc.settled import Settled
from greengrocer.serving.workers.runtime_directory import MOST_SOCKET
from greengrocer.web.wire.acceptor import Acceptor

BACKLOG = 2048
PREFIX = "grpc-"
# in the directory for temporary files; with --workers there is the service's own in between
LONGEST_NAME = len(f"/{PREFIX}12345678/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535")
RUNTIME_DIRECTORY = len("/greengrocer-12345678")
LAST_SECONDS = 1.0  # for clients to read what is left for them when the server stops
# Bytes at a time, and that the system keeps for a client or for gRPC, or twice so many: gRPC takes
# ten times as many for the answers to the frames that a client may send in them.
PIECE = 1 << 16
RESTART = "the socket was removed: restart the service, and have nothing clean its directory"
WAIT = "clients are connected again once the cause is gone"

Address = tuple[Any, ...]  # of a client: a host, a port, and two numbers more for IPv6

log = structlog.get_logger("greengrocer.server")


class Timeouts(NamedTuple):
    """Seconds after which a client's connection is closed."""

    idle: float
    handshake: float  # until gRPC's limits hold for the client; also to read the last bytes for it
    send: float  # in which the client reads nothing of what waits to be sent to it


class Gate:
    """Accepts clients, and connects each to gRPC's own socket, which only this user reaches.

    The socket is in ``directory``, by default that for temporary files. A client that does not read
    is not read from: gRPC would keep the answers to its frames. ``received`` is called with numbers
    of bytes that come. A gate is made and used on the event loop. Raises UsageError where there is
    no directory for its socket.
    """

    def __init__(
        self,
        listener: socket.socket,
        directory: Path | None,
        timeouts: Timeouts,
        received: Callable[[int], None],
    ) -> None:
        self._listener = listener
        with _directory_needed():
            self._directory = TemporaryDirectory(prefix=PREFIX, dir=directory)  # of mode 0700
        self._path = Path(self._directory.name, "grpc.sock")
        self.address = f"unix:{quote(os.fsencode(self._path))}"  # where gRPC is to listen
        self._clients: set[_Client] = set()
        self._failing = False  # to connect clients
        self._acceptor = Acceptor(
            listener, partial(_Client, self._connect, timeouts, received, self._clients)
        )

    def start(self) -> None:
        """Accept clients: gRPC listens by now."""
        self._acceptor.start(BACKLOG)

    def close(self) -> None:
        """Accept no more clients; gRPC ends the connections that are there."""
        if self._listener.fileno() >= 0:
            self._acceptor.close()
            self._listener.close()

    async def finish(self) -> None:
        """Send what is left for clients, and end their connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                await asyncio.gather(*(client.gone.wait() for client in self._clients))
        for client in list(self._clients):
            client.transport.abort()
        self._directory.cleanup()

    def _connect(self, client: Address) -> socket.socket:
        """A socket that is connected to gRPC for a client.

        Raises OSError, and logs the first of several in a row.
        """
        try:
            own = _connected(self._path, client)
        except OSError as error:
            closed = self._listener.fileno() < 0  # and gRPC accepts no more
            if not self._failing and not closed:
                log.warning(
                    "cannot connect clients to gRPC",
                    socket=str(self._path),
                    reason=error.strerror,
                    remedy=RESTART if error.errno == errno.ENOENT else WAIT,
                )
            self._failing = True
            raise
        self._failing = False
        return own


def check_path(workers: bool) -> None:
    """Raise UsageError where no socket can be in the directory for temporary files."""
    with _directory_needed():
        excess = len(os.fsencode(gettempdir())) + LONGEST_NAME - MOST_SOCKET
    excess += RUNTIME_DIRECTORY if workers else 0
    if excess > 0:
        raise UsageError(
            "--grpc-port needs a directory whose path is short enough for a socket: have TMPDIR "
            f"name one that is {excess} bytes shorter"
        )


@contextmanager
def _directory_needed() -> Iterator[None]:
    """Raise UsageError where no directory for temporary files can be written to."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            "--grpc-port needs a directory to write to, which TMPDIR may name: "
            f"{error.strerror or error}"
        ) from error


def _connected(path: Path, client: Address) -> socket.socket:
    """A socket that is connected to ``path``, named after the host and port of ``client``."""
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        own.setblocking(False)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        name = path.with_name(f"{client[0]}:{client[1]}")
        own.bind(os.fspath(name))
        name.unlink()
        own.connect(os.fspath(path))
    except OSError:
        own.close()
        raise
    return own


class _End(asyncio.BufferedProtocol):
    """One of two connections, each of which gets what the other receives."""

    room = memoryview(bytearray(PIECE))  # for what is received, by each in turn

    transport: asyncio.Transport

    def __init__(self, last_seconds: float) -> None:
        self._last_seconds = last_seconds  # to read what is left once the other one has ended
        self._late: asyncio.TimerHandle | None = None  # the only timer: one limit at a time
        self.other: _End | None = None
        self.full = False  # more waits to be sent than is good

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        del sizehint
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.take(bytes(self.room[:nbytes]))

    def take(self, data: bytes) -> None:
        """Pass on what was received."""
        if (there := self._there()) is not None:
            there.write(data)

    def pause_writing(self) -> None:
        self.full = True
        if (there := self._there()) is not None:
            there.pause_reading()

    def resume_writing(self) -> None:
        self.full = False
        if self.other is not None:
            self.other.read_on()

    def read_on(self) -> None:
        """Read again what the other one takes again."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _there(self) -> asyncio.Transport | None:
        """The other connection; None where it has ended, or is about to end."""
        if self.other is None or self.other.transport.is_closing():
            return None
        return self.other.transport

    def connection_lost(self, _: Exception | None) -> None:
        """Close the other connection once it has sent what it got, or could in time."""
        self.abort_never()
        if self.other is not None:
            self.other.transport.close()
            self.other.abort_later(self._last_seconds)
            self.other.other = None
            self.other = None

    def abort_later(self, seconds: float) -> None:
        """Abort the connection after so many seconds, unless it ends by itself."""
        self.call_later(seconds, self.transport.abort)

    def call_later(self, seconds: float, call: Callable[..., object], *arguments: object) -> None:
        """Call it after so many seconds, in place of what was to be called."""
        self.abort_never()
        self._late = asyncio.get_running_loop().call_later(seconds, call, *arguments)

    def abort_never(self) -> None:
        """Do not, or no more: a timer keeps its connection in memory."""
        if self._late is not None:
            self._late.cancel()


class _Client(_End):
    """The connection of a client, whose other one is gRPC's."""

    def __init__(
        self,
        connect: Callable[[Address], socket.socket],
        timeouts: Timeouts,
        received: Callable[[int], None],
        clients: "set[_Client]",
    ) -> None:
        super().__init__(timeouts.handshake)
        self._timeouts = timeouts
        self._connect_to_grpc = connect
        self._received = received
        self._clients = clients
        self._settled = Settled()
        self._early = b""  # what came before there was a connection to gRPC
        self._connecting: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Connect to gRPC, whose settings the client waits for."""
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIECE)
        self._clients.add(self)
        self.abort_later(self._timeouts.handshake)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        """Connect from an address that tells the client's: gRPC calls it the peer (places.py)."""
        inner = _End(self._timeouts.handshake)
        inner.other = self  # gRPC sends its settings at once
        client = self.transport.get_extra_info("peername")
        if client is None:  # it has gone
            self.transport.abort()
            return
        try:
            own = self._connect_to_grpc(client)
            await asyncio.get_running_loop().create_unix_connection(lambda: inner, sock=own)
        except OSError:
            self.transport.abort()
            return
        if self.gone.is_set():
            inner.other = None
            inner.transport.abort()
            return
        self.other = inner
        self._pass_on(self._early)
        self._early = b""

    def take(self, data: bytes) -> None:
        """Pass on as much as gRPC may have by now."""
        self._received(len(data))
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
            return
        if not self._settled.over:
            try:
                data = self._settled.feed(data)
            except ValueError:
                self.transport.abort()
                return
            if self._settled.over:
                self.abort_never()
        super().take(data)

    def pause_writing(self) -> None:
        """Read no more of a client that does not read, and let it go if it stays so."""
        super().pause_writing()
        self.transport.pause_reading()
        if self._settled.over and self.other is not None:
            self._await_reading(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Read again: the client does."""
        super().resume_writing()
        if self._settled.over and self.other is not None:
            self.abort_never()
        self.read_on()

    def _await_reading(self, waiting: int) -> None:
        """Let the client go if it has read none of so many bytes when the time is over."""
        self.call_later(self._timeouts.send, self._check_reading, waiting)

    def _check_reading(self, waiting: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < waiting:
            self._await_reading(left)
        else:
            self.transport.abort()

    def read_on(self) -> None:
        """Read again, if the client reads and gRPC does."""
        if not self.full and not (self.other and self.other.full):
            super().read_on()

    def connection_lost(self, error: Exception | None) -> None:
        """End gRPC's connection at once, too: nobody reads what it would send."""
        self._clients.discard(self)
        self.gone.set()
        if self.other is not None:
            self.other.transport.abort()
        super().connection_lost(error)
