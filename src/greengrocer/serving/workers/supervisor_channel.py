"""What the supervisor and its processes say to each other: one word and one number, fixed size."""

import asyncio
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Self, cast

MESSAGE = struct.Struct(">Bd")


class SupervisorMessage(IntEnum):
    """What is said. Only HEALTHY has a number that means anything."""

    READY = 1  # a process: my start succeeded
    SUSPICION = 2  # an HTTP process: the engine leaves an image unanswered
    HEALTH = 3  # the supervisor: how are you?
    HEALTHY = 4  # the engine: alive, and for so many seconds its oldest work has been hopeless


Receive = Callable[[SupervisorMessage, float], None]


class SupervisorChannel(asyncio.Protocol):
    """One end of the socket pair between the supervisor and a process of its own."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(cls, end: socket.socket, receive: Receive) -> Self:
        """The control over ``end``, which it closes when it is done."""
        channel = cls(receive)
        await asyncio.get_running_loop().create_unix_connection(lambda: channel, sock=end)
        return channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone; how it went is told by the kernel, not here."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Hand on what is said; whoever says what is no message is not listened to any more."""
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
        """Say ``word``, if the other side is still there."""
        if self._transport is not None:
            self._transport.write(MESSAGE.pack(message, value))

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
