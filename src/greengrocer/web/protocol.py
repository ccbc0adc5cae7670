"""HTTP/1.1 on a connection: uvicorn's parser, with the limits that it lacks.

uvicorn bounds neither the size and count of headers (with httptools) nor how slowly they come,
and it closes a connection whose request it has not read to the end, so that the client sees a
reset where the answer should be. docs/decisions tells why we stay with it.
"""

import asyncio
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, ClassVar

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from greengrocer.web.problems import wire_problem

LINGER_SECONDS = 5.0  # for a client that still sends what was refused
LINGER_BYTES = 64 << 20


@dataclass(frozen=True)
class WireLimits:
    """What a request's head may cost. Sizes are in bytes, times in seconds."""

    head_seconds: float = 10.0
    url_bytes: int = 8192
    header_bytes: int = 32768
    headers: int = 100


class _HeadRefused(Exception):
    """Stops the parser from within a callback."""


class LimitedProtocol(HttpToolsProtocol):
    """A connection that refuses heads that are too large or too slow."""

    limits = WireLimits()
    _date_second: ClassVar[list[int]] = [0]

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_pending = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal = (400, "bad-request", "this is no valid HTTP/1.1 request")
        self._discarding: int | None = None  # bytes discarded since the answer was sent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse; count what belongs to a head; discard what follows a refusal."""
        if self._discarding is not None:
            self._discarding += len(data)
            if self._discarding > LINGER_BYTES:
                self.transport.abort()
            return
        super().data_received(data)
        if self._head_pending and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.header_bytes + self.limits.url_bytes:
                self._refuse(431, "head-too-large", "the headers are too large")
                self.send_400_response("")
            elif self._head_timer is None:
                self._start_head_timer()

    def on_message_begin(self) -> None:
        """A new request: its head is counted from nothing."""
        super().on_message_begin()
        self._head_pending, self._head_size, self._head_count = True, 0, 0

    def on_url(self, url: bytes) -> None:
        """Bound the request line's target."""
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            self._refuse(414, "uri-too-long", f"the path is over {self.limits.url_bytes} bytes")
            raise _HeadRefused

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers' number and size, a chunked body's trailers included."""
        self._head_size += len(name) + len(value)
        self._head_count += 1
        if self._head_count > self.limits.headers or self._head_size > self.limits.header_bytes:
            self._refuse(
                431,
                "head-too-large",
                f"there are over {self.limits.headers} headers, "
                f"or over {self.limits.header_bytes} bytes of them",
            )
            raise _HeadRefused
        if self._head_pending:  # a trailer is counted and dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: stop its clock and hand the request on."""
        self._head_pending = False
        self._head_bytes = 0
        self._stop_head_timer()
        self._refresh_date()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is whole: what comes next is another head."""
        self._head_pending = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """After an answer to a request that was not read whole: let the client finish, and close.

        Closing at once would make the kernel send a reset, and the answer would be lost.
        """
        unread = self.cycle.more_body
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._discarding = 0
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def eof_received(self) -> None:
        """The client has finished sending; whoever lingers for it need not any more."""
        if self._discarding is not None:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what never became a request, as a problem document."""
        del msg
        if self.transport.is_closing():
            return
        status, code, detail = self._refusal
        body = wire_problem(status, code, detail)
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/problem+json\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()

    def _refresh_date(self) -> None:
        """Set the Date header by need, where uvicorn wakes up for it every second."""
        now = int(time.time())
        if now != self._date_second[0]:
            self._date_second[0] = now
            self.server_state.default_headers = [(b"date", formatdate(now, usegmt=True).encode())]

    def _refuse(self, status: int, code: str, detail: str) -> None:
        self._refusal = (status, code, detail)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._head_bytes:
            self._refuse(408, "slow-head", "the headers came too slowly")
            self.send_400_response("")
        else:
            self.transport.close()
