"""One end of a stream of frames, on the event loop."""

import asyncio
from collections.abc import Callable
from typing import cast

import structlog

from greengrocer.serving.frames.fields import Malformed
from greengrocer.serving.frames.frames import Frame, encode
from greengrocer.serving.frames.stream import FrameStream

log = structlog.get_logger("greengrocer.workers")


class Link(asyncio.Protocol):
    """Hands on every frame that comes, and once the news that no more will come.

    A malformed frame closes it. ``full`` says that the other side has not read what was sent: who
    sends images waits then, until ``drained`` is called, or they would stay here uncounted.
    """

    def __init__(
        self,
        stream: FrameStream,
        receive: Callable[[Frame], None],
        lost: Callable[[], None],
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self.full = False
        self._stream = stream
        self._receive = receive
        self._lost = lost
        self._drained = drained
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of the end, however it came."""
        del exc
        self._transport = None
        self._lost()

    def pause_writing(self) -> None:
        """More waits to be read than fits into the socket."""
        self.full = True

    def resume_writing(self) -> None:
        """The other side has caught up."""
        self.full = False
        self._drained()

    def data_received(self, data: bytes) -> None:
        """Hand on the frames."""
        try:
            for frame in self._stream.feed(data):
                self._receive(frame)
        except Malformed as error:
            log.error("malformed frame", reason=str(error))  # noqa: TRY400
            self.drop()

    def send(self, frame: Frame) -> None:
        """Send ``frame``, if the other side is still there."""
        if self._transport is not None:
            self._transport.write(encode(frame))

    def drop(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()
