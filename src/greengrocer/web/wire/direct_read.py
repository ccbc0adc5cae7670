"""Receives some of a body from the socket into its reader's buffer, past the parser."""

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl

from greengrocer.web.receive_buffer import ReceiveBuffer

# Bytes: a shorter rest of a body is read with the connection's other bytes.
SMALLEST_DIRECT_READ = 1 << 16


class DirectRead(asyncio.BufferedProtocol):
    """The protocol of a connection while a task waits for at most ``most`` bytes of its body.

    After one read it pauses the connection and wakes the task: nothing comes uncounted.
    ``connection`` is the protocol before and after it.
    """

    def __init__(
        self,
        connection: asyncio.Protocol,
        flow: FlowControl,
        buffer: ReceiveBuffer,
        most: int,
        wake: asyncio.Event,
    ) -> None:
        self.count = 0  # bytes that have come
        self._connection = connection
        self._flow = flow
        self._buffer: ReceiveBuffer | None = buffer
        self._most = most
        self._wake = wake

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to write what the socket has."""
        del sizehint
        assert self._buffer is not None
        return self._buffer.room(self._most)

    def buffer_updated(self, nbytes: int) -> None:
        """The socket's bytes are in the buffer."""
        assert self._buffer is not None
        self._buffer.received(nbytes)
        self.count += nbytes
        self._flow.pause_reading()
        self._wake.set()

    def end(self) -> None:
        """Let go of the buffer: uvloop's transport keeps its last protocol with one."""
        self._buffer = None

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has disconnected."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The kernel accepts no more of an answer."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._connection.resume_writing()
