"""A connection of HTTP/1.1: uvicorn's protocol, with the limits that it lacks.

uvicorn bounds neither the size and count of headers (with httptools) nor how slowly they come,
it parses all requests of a read before the first is answered, and it closes a connection whose
request it has not read to the end, so that the client gets a reset in place of the answer.
docs/decisions/001-http-server.md says why we use it.
"""

import asyncio
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
from greengrocer.web.note_refused import NoteRefused
from greengrocer.web.problems import wire_problem
from greengrocer.web.receive_buffer import ReceiveBuffer, disconnected, source_of
from greengrocer.web.request_state import RequestState, attach, state_of
from greengrocer.web.spare_memory import SpareMemory
from greengrocer.web.wire.direct_read import SMALLEST_DIRECT_READ, DirectRead
from greengrocer.web.wire.head import (
    ENCODING,
    MALFORMED,
    SMALL_CHUNKS,
    Reason,
    Refused,
    check_head,
)
from greengrocer.web.wire.read_ahead import (
    ChunkFraming,
    MalformedChunk,
    ReadAhead,
    ReadAheadBudget,
    TooManyChunks,
)
from greengrocer.web.wire.response import Cycle, Flow

LENGTH = b"content-length"  # the parser takes one alone, of digits
LINGER_SECONDS = 5.0  # for a client that still sends what was refused
LINGER_BYTES = 64 << 20


@dataclass(frozen=True)
class WireLimits:
    """Limits of a request's head, and of the time that a client takes to read its answer.

    Sizes are in bytes, times in seconds.
    """

    head_seconds: float = 10.0
    send_seconds: float = 30.0
    url_bytes: int = 8192
    header_bytes: int = 32768
    headers: int = 100


NO_MEMORY = Reason(503, "not-ready", "not enough memory for this request: send it again later")
SLOW = Reason(408, "slow-head", "the headers came too slowly: send them faster")


class LimitedProtocol(HttpToolsProtocol):
    """A connection that refuses heads that are too large or too slow.

    The parser reads one head at a time. A body of declared length goes past it, and the bytes
    behind a request wait until that is answered.
    """

    cycle: Any  # the newest request, which is the only one
    flow: Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: WireLimits | None = None,
        readiness: Readiness | None = None,
        note: NoteRefused | None = None,
        ahead_budget: ReadAheadBudget | None = None,
        received: Callable[[int], None] | None = None,
        spare: SpareMemory | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limits = limits or WireLimits()
        self.readiness = readiness or Readiness()
        self.note = note
        self._received = received or (lambda _: None)  # takes the number of bytes
        self._spare = spare or SpareMemory(0)  # of all connections
        self._ahead = ReadAhead(ahead_budget)
        self._body_rest = 0  # bytes that a body of a declared length lacks
        self._chunks: ChunkFraming | None = None  # of a body without a declared length
        self._in_head = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._unparsed = 0  # bytes since the parser last called back: it keeps them in memory
        self._discarded: int | None = None  # bytes read and dropped, once no more is parsed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer of the first head."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self.flow = Flow(self.transport, self._ahead, self._still_sending, self.limits.send_seconds)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and the work for a client that disconnected."""
        self._stop_head_timer()
        if self._busy():
            self._client_disconnected()
        self._ahead.clear()
        super().connection_lost(exc)
        self.flow = self.cycle = None  # type: ignore[assignment]  # each refers to this object: a cycle

    def data_received(self, data: bytes) -> None:
        """Parse, unless an answer is due or no more is parsed on this connection."""
        self._received(len(data))
        if self._discarded is not None:
            self._discarded += len(data)
            if self._discarded > LINGER_BYTES:
                self.transport.abort()
            return
        self._ahead.add(data)
        if not self._answering():
            self._parse_ahead()
        if self._answering() and self._ahead.over_budget:
            self._close_over_budget()
        else:
            self.flow.limit_reading()

    def shutdown(self) -> None:
        """Close now, or after the last answer that is due."""
        if not self._ahead:
            super().shutdown()

    def on_message_begin(self) -> None:
        """A new request: start to count its head."""
        if self._busy():  # the parser found the body's end before we did
            raise Refused(MALFORMED)
        super().on_message_begin()
        self._in_head, self._unparsed, self._head_size, self._head_count = True, 0, 0, 0
        self._body_rest, self._chunks = 0, None

    def on_url(self, url: bytes) -> None:
        """Bound the request line's target."""
        super().on_url(url)
        if len(self.url) > self.limits.url_bytes:
            most = self.limits.url_bytes
            raise Refused(
                Reason(414, "uri-too-long", f"the URL is longer than {most} bytes: shorten it")
            )

    def on_header(self, name: bytes, value: bytes) -> None:
        """Bound the headers' number and size, a chunked body's trailers included."""
        self._unparsed = 0
        self._head_size += len(name) + len(value)
        self._head_count += 1
        if self._head_count > self.limits.headers or self._head_size > self.limits.header_bytes:
            raise Refused(self._head_too_large())
        if self._in_head:  # a trailer is counted and dropped
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: stop its timer and start the application."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Refused(MALFORMED)
            return
        check_head(self.headers, self.parser.get_http_version())
        self._in_head, self._unparsed = False, 0
        self._stop_head_timer()
        self.server_state.default_headers = _date_header(int(time.time()))
        state = RequestState(self._ahead.arrived(), self.flow.drain, self._receive_into)
        attach(self.scope, state)  # type: ignore[arg-type]
        super().on_headers_complete()
        self.cycle.__class__ = Cycle
        self.cycle.readiness, self.cycle.behind = self.readiness, self._ahead
        lengths = (value for name, value in self.headers if name == LENGTH)
        self._body_rest = sum(int(value.strip().lstrip(b"0") or b"0") for value in lengths)
        self._chunks = ChunkFraming() if any(name == ENCODING for name, _ in self.headers) else None

    def on_body(self, body: bytes) -> None:
        """A piece of the body; its reader bounds the size of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is complete."""
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self.flow.resume_reading()  # a long body has paused it, and nothing else resumes it

    def on_response_complete(self) -> None:
        """Parse what arrived since; after a request that was not read to its end, close."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if self.cycle.more_body:
            self._linger()
        elif self._ahead:
            self._parse_ahead()

    def _refuse(self, reason: Reason) -> None:
        """Refuse bytes that are not a request; stop the work for one with a malformed body."""
        self._stop_head_timer()
        self._discarded = 0
        if self._busy():
            self._client_disconnected()
            if self.cycle.response_started:
                self._linger()  # no second answer can follow half of one
                return
        self._answer_refusal(reason)

    def _close_over_budget(self) -> None:
        """Close a connection whose client sends more while an answer is due and memory is short."""
        request_id, _ = wire_problem(*NO_MEMORY)
        if self.note is not None:
            self.note(NO_MEMORY.status, NO_MEMORY.code, request_id, self.client)
        self._discarded = 0
        self._ahead.clear()
        self.transport.abort()

    def _client_disconnected(self) -> None:
        """Stop the work for the running request: its client disconnected."""
        self.cycle.disconnected = True
        self.cycle.message_event.set()
        state_of(self.cycle.scope).disconnect()

    def _answer_refusal(self, reason: Reason) -> None:
        status, code, detail = reason
        request_id, body = wire_problem(status, code, detail)
        if self.note is not None:
            self.note(status, code, request_id, self.client)
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/problem+json\r\nconnection: close\r\n"
            + b"".join(b"%b: %b\r\n" % header for header in SAFE)
            + b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (request_id.encode(), len(body))
            + body
        )
        self._linger()

    def _linger(self) -> None:
        """Close the sending side, let the client finish sending, and close.

        After a close at once the kernel would send a reset, and the client could lose the answer.
        """
        self._unset_keepalive_if_required()
        self._discarded = 0
        self._ahead.clear()
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _still_sending(self) -> bool:
        return self.cycle is not None and self.cycle.more_body

    def _answering(self) -> bool:
        """Whether an answer is due to a request that was read to its end."""
        return self._busy() and not self.cycle.more_body

    def _parse_ahead(self) -> None:
        """Parse what was read ahead, up to the end of a request."""
        self._unset_keepalive_if_required()
        try:
            while self._ahead and not self._answering():
                if self._body_rest:
                    piece = self._ahead.take(self._body_rest)
                    self.on_body(piece)  # type: ignore[arg-type]  # uvicorn's appends any bytes
                    self._body_came(len(piece))
                elif self._chunks is None or self._chunks.ended:
                    self._parse(self._ahead.take(0))
                elif piece := self._ahead.take_chunks(self._chunks):
                    self._parse(piece)
                else:
                    break
        except (httptools.HttpParserError, MalformedChunk, TooManyChunks, Refused) as error:
            self._refuse(_reason_of(error))
            return
        if not self._busy():
            self.flow.resume_reading()
            if self._head_timer is None:
                self._start_head_timer()

    def _body_came(self, count: int) -> None:
        """Count bytes of a body of declared length. After its last one the parser is a new one."""
        self._body_rest -= count
        if not self._body_rest:
            self.parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    async def _receive_into(self, buffer: ReceiveBuffer) -> tuple[int, bool]:
        """Receive some of the body into ``buffer``, as a ``Source`` does."""
        cycle = self.cycle
        if cycle is None:
            raise disconnected()
        if cycle.body or self._body_rest < SMALLEST_DIRECT_READ or not cycle.receiving:
            return await source_of(cycle.receive)(buffer)
        buffer.spare = self._spare
        read = DirectRead(self, self.flow, buffer, self._body_rest, cycle.message_event)
        self._set_protocol(read)
        try:
            await cycle.message_event.wait()
            cycle.message_event.clear()
        finally:
            self._set_protocol(self)
            read.end()
        if cycle.disconnected:
            raise disconnected()
        self._received(read.count)
        self._body_came(read.count)
        return read.count, cycle.more_body

    def _set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have ``protocol`` read the connection from now on."""
        if not self.transport.is_closing():
            self.flow.pause_reading()  # the transport takes the new one when reading starts
            self.transport.set_protocol(protocol)
            self.flow.resume_reading()

    def _parse(self, piece: bytearray) -> None:
        """Parse ``piece``.

        The parser stops at a head that asks for an upgrade. It is parsed again without its Upgrade
        header: Java's HTTP client offers h2c by default.
        """
        self._unparsed += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            version = self.parser.get_http_version().encode()
            head = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
            head += [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(b"".join([*head, b"\r\n"]))
        if self._unparsed > self.limits.header_bytes + self.limits.url_bytes:
            raise Refused(self._head_too_large())

    def _head_too_large(self) -> Reason:
        count, size = self.limits.headers, self.limits.header_bytes
        detail = f"the request has more than {count} headers or {size} header bytes: send fewer"
        return Reason(431, "head-too-large", detail)

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


def _reason_of(error: Exception) -> Reason:
    """Why the parser stopped: its error has what a callback raised as its context."""
    cause = error.__context__
    for each in (error, cause):
        if isinstance(each, Refused):
            return each.reason
    if isinstance(error, TooManyChunks):
        return SMALL_CHUNKS
    return NO_MEMORY if isinstance(cause, MemoryError) else MALFORMED


@lru_cache(maxsize=1)
def _date_header(second: int) -> list[tuple[bytes, bytes]]:
    """The Date header, made when it is needed; uvicorn wakes up for it every second."""
    return [(b"date", formatdate(second, usegmt=True).encode())]
