"""How an answer is written, and how far ahead of it a connection is read."""

import asyncio
import socket
import struct
from collections.abc import Callable, Sized
from typing import Any

from starlette.types import Message
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from greengrocer.serving.readiness import Readiness, State

WITHOUT_BODY = frozenset({204, 304})
AHEAD = 1 << 17  # bytes; at most one read more than these wait
RESET = struct.pack("ii", 1, 0)  # what SO_LINGER calls to wait for nothing


class Cycle(RequestResponseCycle):
    """uvicorn's, with a sender that writes head and body at once: one system call, one packet.

    A request that is answered before its body's end is the last of its connection: the answer says
    so, and the closing is the protocol's.
    """

    readiness: Readiness
    behind: Sized  # what was sent behind this request
    _head = b""  # of the answer, until its body comes

    async def send(self, message: Message) -> None:  # type: ignore[override]  # the same, untyped
        """Send an answer's head, or some of its body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} is out of turn")

    def _begin(self, status: int, headers: Any) -> None:
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding = status not in WITHOUT_BODY and self.scope["method"] != "HEAD"
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.chunked_encoding:
            lines.append(b"transfer-encoding: chunked\r\n")
        stopping = self.readiness.state is State.STOPPING and not self.behind
        if stopping or self.more_body:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self._head = b"".join(lines)
        if self._head.count(b"\n") != len(lines) or self._head.count(b"\r") != len(lines):
            raise RuntimeError("a header has a line break")
        self._head += b"\r\n"

    def _go_on(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("the answer's body is not as long as its head said")
        self.transport.write(self._head + body)
        self._head = b""
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not (self.keep_alive or self.more_body):
                self.transport.close()
            self.on_response()


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
