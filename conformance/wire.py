"""A client that sends exactly the bytes that a test gives it."""

import http.client
import socket
from contextlib import suppress
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import httpx

SECONDS = 60.0  # only a hang takes as long


class Answer(NamedTuple):
    """An answer as it came."""

    status: int
    headers: httpx.Headers
    body: bytes


class Wire:
    """A connection to the service at ``url``; ``AssertionError`` where no answer comes."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "", parts.port or 80)
        self.socket = socket.create_connection(address, timeout=seconds)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave."""
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> Self:
        """Send ``data``, or as much of it as the service still takes."""
        # refused midway: what counts is the answer, which must have come
        with suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)
        return self

    def half_close(self) -> Self:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def line(self) -> bytes:
        """The next line of what comes."""
        return self._file.readline()

    def answer(self) -> Answer:
        """The next answer."""
        line = self.line()
        assert line.startswith(b"HTTP/1.1 "), f"no answer, but {line!r}"
        headers = httpx.Headers(http.client.parse_headers(self._file).items())
        if headers.get("transfer-encoding") == "chunked":
            return Answer(int(line.split()[1]), headers, self._chunks())
        return Answer(
            int(line.split()[1]), headers, self._file.read(int(headers["content-length"]))
        )

    def _chunks(self) -> bytes:
        content = b""
        while size := int(self._file.readline(), 16):
            content += self._file.read(size)
            self._file.readline()
        self._file.readline()
        return content

    def closed(self) -> bool:
        """Wait until the service closes; whether it sends nothing more before."""
        try:
            return self._file.read() == b""
        except ConnectionResetError:
            return True


def head(method: str, target: str, *headers: str, host: str = "test") -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(body: bytes, *headers: str, kind: str = "image/jpeg", target: str = "/predict") -> bytes:
    """A whole request that posts ``body``."""
    length = f"Content-Length: {len(body)}"
    return head("POST", target, f"Content-Type: {kind}", length, *headers) + body


def chunked(body: bytes, size: int, kind: str = "image/jpeg") -> bytes:
    """A whole request that posts ``body`` to /predict in chunks of ``size`` bytes."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    coding = ("Transfer-Encoding: chunked", f"Content-Type: {kind}")
    return head("POST", "/predict", *coding) + chunks + b"0\r\n\r\n"


def exchange(url: str, request: bytes) -> Answer:
    """The answer to ``request`` on a connection of its own."""
    with Wire(url) as wire:
        return wire.send(request).answer()
