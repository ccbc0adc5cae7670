"""A client that says exactly what a test tells it to, byte for byte."""

import http.client
import socket
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import httpx

SECONDS = 60.0


@dataclass(frozen=True)
class WireAnswer:
    """An answer as it came."""

    status: int
    headers: httpx.Headers
    body: bytes


class Wire:
    """A connection to the server at ``url``."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=seconds)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> Self:
        """Send ``data``."""
        self.socket.sendall(data)
        return self

    def line(self) -> bytes:
        """The next line that the server sends."""
        return self._file.readline()

    def answer(self) -> WireAnswer:
        """The next answer; its length must be declared."""
        words = self.line().split(maxsplit=2)
        assert words, "the server closed the connection without an answer"
        headers = httpx.Headers(http.client.parse_headers(self._file).items())
        body = self._file.read(int(headers["content-length"]))
        return WireAnswer(int(words[1]), headers, body)

    def rest(self) -> bytes:
        """All that the server sends before it closes."""
        return self._file.read()

    def closed(self) -> bool:
        """Wait until the server closes; True if it sends nothing more before."""
        try:
            return self._file.read() == b""
        except ConnectionResetError:
            return True


def head(method: str, target: str, *headers: str, version: str = "1.1") -> bytes:
    """A request's head."""
    lines = [f"{method} {target} HTTP/{version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(picture: bytes, *headers: str, target: str = "/predict") -> bytes:
    """A whole request that posts ``picture`` as a JPEG."""
    length = f"Content-Length: {len(picture)}"
    return head("POST", target, "Content-Type: image/jpeg", length, *headers) + picture


def refused_connection(port: int) -> bool:
    """Whether nothing listens on ``port``."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def has_ipv6() -> bool:
    """Whether this machine can listen on ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def exchange(url: str, request: bytes) -> WireAnswer:
    """The answer to ``request`` on a connection of its own."""
    with Wire(url) as wire:
        return wire.send(request).answer()
