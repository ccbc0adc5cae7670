"""The messages between the supervisor and its processes: a kind and a number, of fixed size."""

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Self, cast

MESSAGE = struct.Struct(">Bd")


class SupervisorMessage(IntEnum):
    """The kinds of messages. Only HEALTHY uses the number."""

    READY = 1  # from a process: its start succeeded, and it listens
    # from an HTTP process: the engine left an image or a ping unanswered; from the engine: one of
    # its threads hangs, for whose work no HTTP process waits
    SUSPICION = 2
    HEALTH = 3  # from the supervisor to the engine, which answers HEALTHY
    HEALTHY = 4  # from the engine: for how many seconds a thread has hung


Receive = Callable[[SupervisorMessage, float], None]


class SupervisorChannel(asyncio.Protocol):
    """One end of the socket pair between the supervisor and a process of its own."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(cls, end: socket.socket, receive: Receive) -> Self:
        """The channel over ``end``, which it owns and closes."""
        channel = cls(receive)
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=end)
        return channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The other process has ended or closed its end. ``wait`` tells the supervisor how."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Call ``receive`` with each message. Close the channel after a message of no kind."""
        self._buffer += data
        while len(self._buffer) >= MESSAGE.size:
            number, value = MESSAGE.unpack_from(self._buffer)
            self._buffer = self._buffer[MESSAGE.size :]
            try:
                message = SupervisorMessage(number)
            except ValueError:
                self.close()
                return
            self._receive(message, value)

    def send(self, message: SupervisorMessage, value: float = 0.0) -> None:
        """Send ``message``, if the channel is open."""
        if self._transport is not None:
            self._transport.write(MESSAGE.pack(message, value))

    def close(self) -> None:
        """Close the channel at once."""
        if self._transport is not None:
            self._transport.abort()
