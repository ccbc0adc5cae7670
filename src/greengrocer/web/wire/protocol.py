"""HTTP/1.1 on a connection: uvicorn's parser, with the limits that it lacks.

uvicorn bounds neither the size and count of headers (with httptools) nor how slowly they come,
and it closes a connection whose request it has not read to the end, so that the client sees a
reset where the answer should be. docs/decisions tells why we stay with it.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from greengrocer.serving.readiness import Readiness
from greengrocer.web.headers import SAFE
from greengrocer.web.problems import wire_problem
from greengrocer.web.wire.cycle import Cycle
from greengrocer.web.wire.flow import Flow

Note = Callable[[int, str, str], None]  # is told status, code and request id

HOST = re.compile(rb"(\[[\w.:%~-]+\]|[\w.~%!$&'()*+,;=-]*)(:[0-9]*)?[ \t]*")
LINGER_SECONDS = 5.0  # for a client that still sends what was refused
LINGER_BYTES = 64 << 20


@dataclass(frozen=True)
class WireLimits:
    """What a request's head may cost, and how long an answer may wait for its reader.

    Sizes are in bytes, times in seconds.
    """

    head_seconds: float = 10.0
    send_seconds: float = 30.0
    url_bytes: int = 8192
    header_bytes: int = 32768
    headers: int = 100


class _Refused(Exception):
    """Why these bytes become no request; raised in a callback, it stops the parser."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


MALFORMED = _Refused(400, "bad-request", "this is no valid HTTP/1.1 request")
BAD_HOST = _Refused(400, "bad-request", "there must be one header Host, with a host's name")
NO_MEMORY = _Refused(503, "not-ready", "there is no memory for this request now")
SLOW = _Refused(408, "slow-head", "the headers came too slowly")


class LimitedProtocol(HttpToolsProtocol):
    """A connection that refuses heads that are too large or too slow."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: WireLimits | None = None,
        readiness: Readiness | None = None,
        note: Note | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits or WireLimits()
        self.readiness = readiness or Readiness()
        self.note = note
        self._running: Any = None  # the cycle whose answer is due; self.cycle is the newest
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._untold = 0  # bytes since the parser last told of something: it keeps them in memory
        self._refused: _Refused | None = None  # to be told after the answers before it
        self._discarded: int | None = None  # bytes, once nothing is read any more

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock of the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.flow = Flow(
            self.transport, self.pipeline, self._still_sending, self.limits.send_seconds
        )
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock, and tell whoever works for a client that has gone."""
        self._stop_head_timer()
        if self._busy():
            self._depart()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless this connection is finished with."""
        if self._discarded is not None:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()
            return
        self._unset_keepalive_if_required()
        self._untold += len(data)
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._parse(rest)
        except httptools.HttpParserError as error:
            cause = error.__context__
            reason = NO_MEMORY if isinstance(cause, MemoryError) else MALFORMED
            self._refuse(cause if isinstance(cause, _Refused) else reason)
            return
        if self._untold > self.limits.header_bytes + self.limits.url_bytes:
            self._refuse(self._head_too_large())
        elif self._head_timer is None and not self._busy():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """A new request: its head is counted from nothing."""
        super().on_message_begin()
        self._in_head, self._untold, self._head_size, self._head_count = True, 0, 0, 0

    def on_url(self, url: bytes) -> None:
        """Bound the request line's target."""
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            most = self.limits.url_bytes
            raise _Refused(414, "uri-too-long", f"the path is over {most} bytes long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers' number and size, a chunked body's trailers included."""
        self._untold = 0
        self._head_size += len(name) + len(value)
        self._head_count += 1
        if self._head_count > self.limits.headers or self._head_size > self.limits.header_bytes:
            raise self._head_too_large()
        if self._in_head:  # a trailer is counted and dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: stop its clock and hand the request on."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise MALFORMED
            return
        if not self._has_host():
            raise BAD_HOST
        self._in_head, self._untold = False, 0
        self._stop_head_timer()
        self.server_state.default_headers = _date_header(int(time.time()))
        state = self.scope["state"]
        state["arrived"], state["when_departed"] = time.monotonic(), []
        super().on_headers_complete()
        cycle: Any = self.cycle
        cycle.__class__ = Cycle
        cycle.readiness, cycle.behind = self.readiness, self.pipeline
        self.flow.resume_reading()

    def on_body(self, body: bytes) -> None:
        """Some of the body: the reader of the upload counts it."""
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self.flow.resume_reading()  # a long body has paused it, and nobody asks for more

    def on_response_complete(self) -> None:
        """End the connection after the answer to a request that was not read whole."""
        # Where another request waits behind it, the answered one was read whole.
        last = not self.pipeline
        unread = last and self.cycle.more_body
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if last and self._refused:
            self._answer_refusal(self._refused)
        elif unread:
            self._linger()

    def _refuse(self, refused: _Refused) -> None:
        """Answer what never became a request, as soon as what came before it is answered."""
        self._stop_head_timer()
        self._discarded = 0
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # it is its body that is malformed: it will never be whole
        if not self._busy():
            self._answer_refusal(refused)
        elif self.pipeline or not self._running.more_body:
            self._refused = refused
        else:  # it is the body of the running one
            self._depart()
            if self._running.response_started:
                self._linger()  # who has half an answer takes no other
            else:
                self._answer_refusal(refused)

    def _depart(self) -> None:
        """Tell whoever works for the running request that nobody waits for its answer."""
        self._running.disconnected = True
        self._running.message_event.set()
        for tell in self._running.scope["state"]["when_departed"]:
            tell()

    def _answer_refusal(self, refused: _Refused) -> None:
        request_id, body = wire_problem(refused.status, refused.code, str(refused))
        if self.note is not None:
            self.note(refused.status, refused.code, request_id)
        self.transport.write(
            STATUS_LINE[refused.status]
            + b"content-type: application/problem+json\r\nconnection: close\r\n"
            + b"".join(b"%b: %b\r\n" % header for header in SAFE)
            + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (request_id.encode(), len(body))
            + body
        )
        self._linger()

    def _linger(self) -> None:
        """Say that nothing more will come, let the client finish, and close.

        Closing at once would make the kernel send a reset, and the answer would be lost.
        """
        self._unset_keepalive_if_required()
        self._discarded = 0
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _busy(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _still_sending(self) -> bool:
        return self._running is not None and self._running.more_body

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _has_host(self) -> bool:
        """Whether one host is named, as RFC 9112 wants it (3.2); HTTP/1.0 needs none."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if not hosts:
            return self.parser.get_http_version() == "1.0"
        return len(hosts) == 1 and HOST.fullmatch(hosts[0]) is not None

    def _parse(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse ``data``, and return what is left of it behind a head that asks for an upgrade.

        That head is read again without its Upgrade: clients in Java offer h2c by default.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = memoryview(data)[upgrade.args[0] :]
        else:
            return b""
        version = self.parser.get_http_version().encode()
        head = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        head += [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"".join([*head, b"\r\n"]))
        return rest

    def _head_too_large(self) -> _Refused:
        count, size = self.limits.headers, self.limits.header_bytes
        detail = f"there are over {count} headers, or over {size} bytes of them"
        return _Refused(431, "head-too-large", detail)

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._head_too_slow)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(SLOW)
        else:
            self.transport.close()


@lru_cache(maxsize=1)
def _date_header(second: int) -> list[tuple[bytes, bytes]]:
    """The Date header, formatted by need, where uvicorn wakes up for it every second."""
    return [(b"date", formatdate(second, usegmt=True).encode())]
