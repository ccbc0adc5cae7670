"""Accepts connections: more and more in a turn of the event loop while others wait.

uvloop accepts one in each turn. A turn lasts as long as the requests that are ready in it, so with
500 busy connections the last of 500 new ones would wait for 500 long turns.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

FIRST = 1  # so that the processes of --workers share a few new connections evenly
MOST = 128  # connections in a turn
PAUSE_SECONDS = 1.0  # where the process has no descriptor left

log = structlog.get_logger("greengrocer.server")


class Acceptor:
    """Accepts connections of ``listener``, each for a protocol that ``make_protocol`` makes."""

    def __init__(
        self, listener: socket.socket, make_protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._most = FIRST  # in the next turn
        self._closed = False
        self._short = False  # of descriptors
        self._paused: asyncio.TimerHandle | None = None
        self._connecting: set[asyncio.Task[None]] = set()  # the loop itself keeps no task alive

    def start(self, backlog: int) -> None:
        """Listen, and accept."""
        self._listener.setblocking(False)
        self._listener.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Accept no more."""
        self._closed = True
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """For uvicorn: the server itself waits for the requests in flight."""

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(self._most):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                self._most, self._short = FIRST, False
                return
            except OSError as error:  # too few descriptors
                if not self._short:
                    log.warning("cannot accept", reason=error.strerror)
                self._short = True
                self._loop.remove_reader(self._listener)
                self._paused = self._loop.call_later(PAUSE_SECONDS, self._resume)
                return
            connecting = self._loop.create_task(self._connect(connection))
            self._connecting.add(connecting)
            connecting.add_done_callback(self._connecting.discard)
        self._most = min(MOST, 2 * self._most)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            transport, _ = await self._loop.connect_accepted_socket(self._make_protocol, connection)
        except (OSError, MemoryError):  # the client has gone, or there is no room for it
            connection.close()
        else:
            if self._closed:  # after the server has closed the connections that were there
                transport.close()
