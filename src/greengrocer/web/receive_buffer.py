"""A request's body in one piece of memory, where it is received, read and decoded."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Receive

from greengrocer.errors import ClientDisconnected
from greengrocer.web.spare_memory import SpareMemory

SMALLEST_READ = 1 << 14  # bytes that are offered to a client which has sent little yet
LARGEST_READ = 1 << 18  # at most; in between, as many as have come

_ZEROS = bytes(LARGEST_READ)


class ReceiveBuffer:
    """Bytes that have come, in ``data``, and free memory after them, in which more is received.

    It grows with what comes, not to what was declared; a large body goes on in ``spare`` memory,
    where there is some. Views of it must be gone before more is received.
    """

    __slots__ = ("_end", "_lent", "data", "spare")

    def __init__(self, start: bytes = b"") -> None:
        self.data = bytearray(start)  # behind what has come, anything
        self.spare: SpareMemory | None = None
        self._lent = 0  # bytes of the memory, if it is lent
        self._end = len(start)

    def __len__(self) -> int:
        """How many bytes have come."""
        return self._end

    def append(self, chunk: bytes | bytearray) -> None:
        """Add bytes that were received elsewhere."""
        end = self._end + len(chunk)
        self.data[self._end : end] = chunk
        self._end = end

    def room(self, most: int) -> memoryview:
        """Free memory to receive into: at least one byte, at most ``most``."""
        size = min(most, max(SMALLEST_READ, min(self._end, LARGEST_READ)))
        if self._end + size > len(self.data):
            self._grow(self._end + size, self._end + most)
        return memoryview(self.data)[self._end : self._end + size]

    def _grow(self, least: int, wanted: int) -> None:
        spare = None if self._lent or self._end < LARGEST_READ else self.spare
        if spare is not None and (block := spare.lend(least, wanted)):
            block[: self._end] = memoryview(self.data)[: self._end]
            self.data, self._lent = block, len(block)
        if least > len(self.data):
            self.data += memoryview(_ZEROS)[: least - len(self.data)]

    def received(self, count: int) -> None:
        """Count bytes that were written to the start of ``room``."""
        self._end += count

    def drop(self, count: int) -> None:
        """Remove the first ``count`` bytes."""
        del self.data[:count]
        self._end -= count

    def recycle(self) -> None:
        """Give its memory to ``spare``: nothing of it is read any more."""
        if self.spare is not None:
            self.spare.keep(self.data, self._lent)
        self.data, self._lent, self._end = bytearray(), 0, 0

    def recycle_soon(self) -> None:
        """The same, once the functions that are returning have let go of their views."""
        asyncio.get_running_loop().call_soon(self.recycle)

    def whole(self) -> bytearray:
        """All that has come, without the free memory; nothing more is received then."""
        del self.data[self._end :]
        return self.data

    def view(self, start: int = 0, stop: int | None = None) -> memoryview:
        """What has come, from ``start`` to ``stop``, read-only and without a copy."""
        end = self._end if stop is None else min(stop, self._end)
        return memoryview(self.data).toreadonly()[start:end]


# Receives some of a body into a buffer. Returns how many bytes, and whether more follow. Raises
# ClientDisconnected.
Source = Callable[[ReceiveBuffer], Awaitable[tuple[int, bool]]]


def source_of(receive: Receive) -> Source:
    """The source that reads the messages of ASGI, as any server sends them."""

    async def receive_message(buffer: ReceiveBuffer) -> tuple[int, bool]:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise disconnected()
        chunk = message.get("body", b"")
        buffer.append(chunk)
        return len(chunk), message.get("more_body", False)

    return receive_message


def disconnected() -> ClientDisconnected:
    """What a source raises when its client has disconnected."""
    return ClientDisconnected("the client disconnected during its upload")
