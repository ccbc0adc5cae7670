"""How an answer is written, and the flow control of its connection."""

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
AHEAD = 1 << 17  # bytes; a connection reads ahead at most these and one read more
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with 0 seconds: the close sends a reset


class Cycle(RequestResponseCycle):
    """uvicorn's cycle of request and answer; writes head and body in one system call.

    A request that is answered before its body's end is the last one of its connection: the answer
    says "connection: close", and the protocol closes it.
    """

    readiness: Readiness
    behind: Sized  # what the client sent after this request
    _head = b""  # of the answer, kept until its body comes
    _until_closed = False  # the body's end is the connection's: HTTP/1.0 has no chunks

    @property
    def receiving(self) -> bool:
        """Whether more of the body can come, and the client does not wait for "100 Continue"."""
        waiting = self.waiting_for_100_continue or self.response_complete
        return self.more_body and not (waiting or self.disconnected)

    async def send(self, message: Message) -> None:  # type: ignore[override]  # the same, untyped
        """Send an answer's head, or a chunk of its body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), message.get("more_body", False))
        else:
            raise RuntimeError(f"the application sent {message['type']} out of turn")

    def _begin(self, status: int, headers: Any) -> None:
        self.response_started, self.waiting_for_100_continue = True, False
        has_body = status not in WITHOUT_BODY and self.scope["method"] != "HEAD"
        self.chunked_encoding = has_body and self.scope["http_version"] != "1.0"
        self._until_closed = has_body and not self.chunked_encoding  # unless a length is given
        lines = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            if name == b"content-length":
                self.expected_content_length, self.chunked_encoding = int(value), False
                self._until_closed = False
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.chunked_encoding:
            lines.append(b"transfer-encoding: chunked\r\n")
        stopping = self.readiness.state is State.STOPPING and not self.behind
        if stopping or self.more_body or self._until_closed:
            self.keep_alive = False
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        self._head = b"".join(lines)
        if self._head.count(b"\n") != len(lines) or self._head.count(b"\r") != len(lines):
            raise RuntimeError("a header of the answer has a line break")
        self._head += b"\r\n"

    def _go_on(self, body: bytes, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        elif not self._until_closed:
            self.expected_content_length -= len(body)
        if self.expected_content_length < 0 or (self.expected_content_length and not more):
            raise RuntimeError("the answer's body is not as long as its Content-Length says")
        self.transport.write(self._head + body)
        self._head = b""
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not (self.keep_alive or self.more_body):
                self.transport.close()
            self.on_response()


class Flow(FlowControl):
    """uvicorn's flow control, with two bounds.

    While an answer is due, the connection still reads, so that it notices when the client
    disconnects. What it reads waits as bytes. At ``AHEAD`` bytes it stops, and the kernel holds
    more.

    A connection whose client reads nothing of an answer for ``seconds`` is closed, unless the
    client is ``still_sending`` the request: then the pace of its upload bounds it.
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
        # Writing is paused as soon as the kernel accepts no more, until it has all: so every answer
        # that waits has a timer, on a connection that is in use, idle or about to close.
        transport.set_write_buffer_limits(0)

    def resume_reading(self) -> None:
        """Read again, unless enough waits."""
        if len(self._ahead) <= AHEAD:
            super().resume_reading()

    def limit_reading(self) -> None:
        """Stop reading where enough waits; the kernel holds the rest."""
        if len(self._ahead) > AHEAD:
            self.pause_reading()

    def pause_writing(self) -> None:
        """Start the timer."""
        super().pause_writing()
        self._start_timer()

    def resume_writing(self) -> None:
        """The kernel has all, or the connection is lost: stop the timer."""
        super().resume_writing()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds, self._check_progress, self._unsent())

    def _check_progress(self, before: int) -> None:
        if self._unsent() < before or self._still_sending():
            self._start_timer()
        else:
            # with a reset: else the kernel would keep what it has for a client that never reads
            self._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, RESET
            )
            self._transport.abort()

    def _unsent(self) -> int:
        return self._transport.get_write_buffer_size()
