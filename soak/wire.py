"""One connection: it sends given bytes, and reads whole answers."""

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Self

import httptools

READ_BYTES = 1 << 16


class Cut(Exception):
    """The connection ended before the answer did."""


@dataclass
class Answer:
    """An answer. httptools calls its methods."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    kept: bool = False  # the connection may be used again
    whole: bool = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self.headers[name.lower()] = value

    def on_body(self, body: bytes) -> None:
        """Keep some of the body."""
        self.body += body

    def on_message_complete(self) -> None:
        """The answer is complete."""
        self.whole = True


class Statuses:
    """The statuses of answers that come one after the other. httptools calls its methods."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.seen: list[int] = []

    def on_message_complete(self) -> None:
        """One answer is complete."""
        self.seen.append(self.parser.get_status_code())


class Wire:
    """A connection to the service on this machine; ``async with`` hangs up at its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int, room: int | None = None) -> Self:
        """Connect; the system keeps ``room`` for what is not read yet. Raises OSError."""
        own = socket.socket()
        if room is not None:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        own.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", port))
            return cls(*await asyncio.open_connection(sock=own))
        except BaseException:
            own.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up, once all that was to be sent is sent."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return  # the service closed first

    async def send(self, data: bytes) -> None:
        """Send ``data``; raises Cut."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Cut from error

    async def answer(self, pause: float = 0) -> Answer:
        """The next answer; raises Cut, and httptools.HttpParserError for an invalid one.

        ``pause`` seconds pass before each piece of it is read.
        """
        answer = Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.whole:
            await asyncio.sleep(pause)
            parser.feed_data(await self._read())
        answer.status = parser.get_status_code()
        answer.kept = parser.should_keep_alive()
        return answer

    async def statuses(self, count: int) -> set[int]:
        """Those of the next ``count`` answers, and of no more; raises as ``answer`` does."""
        statuses = Statuses()
        while len(statuses.seen) < count:
            statuses.parser.feed_data(await self._read())
        if len(statuses.seen) > count:
            raise httptools.HttpParserError("more answers than requests")
        return set(statuses.seen)

    async def _read(self) -> bytes:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise Cut from error
        if not data:
            raise Cut
        return data
