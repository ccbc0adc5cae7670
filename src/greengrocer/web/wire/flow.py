"""How far ahead a connection is read, and how long an answer waits for whom it is for."""

import asyncio
import socket
import struct
from collections.abc import Callable, Sized

from uvicorn.protocols.http.flow_control import FlowControl

AHEAD = 1 << 17  # bytes; at most one read more than these wait
RESET = struct.pack("ii", 1, 0)  # what SO_LINGER calls to wait for nothing


class Flow(FlowControl):
    """uvicorn's, with two bounds.

    While an answer is due, what its client sends behind the request waits as bytes. It is read, so
    that it is seen when the client leaves, until ``AHEAD`` of it wait: more is left to the kernel.

    An answer of which nothing is taken for ``seconds`` ends the connection, unless the client is
    ``still_sending`` what is answered: then the pace of its upload is what bounds it.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        ahead: Sized,
        still_sending: Callable[[], bool],
        seconds: float,
    ) -> None:
        super().__init__(transport)
        self._ahead = ahead
        self._still_sending = still_sending
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        # Writing is paused as soon as the kernel takes no more, until it has all: so an answer that
        # waits here has a clock, whether its connection is in use, idle or about to be closed.
        transport.set_write_buffer_limits(0)

    def resume_reading(self) -> None:
        """Read on, unless enough waits."""
        if len(self._ahead) <= AHEAD:
            super().resume_reading()

    def hold_back(self) -> None:
        """Leave more to the kernel."""
        if len(self._ahead) > AHEAD:
            self.pause_reading()

    def pause_writing(self) -> None:
        """Start the clock."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """All is taken, or the connection is lost: stop the clock."""
        super().resume_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._look, self._left())

    def _look(self, before: int) -> None:
        if self._left() < before or self._still_sending():
            self._start_timer()
        else:
            # reset, or the kernel would keep what it has for a reader who may never come
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET
            )
            self._transport.abort()

    def _left(self) -> int:
        return self._transport.get_write_buffer_size()
