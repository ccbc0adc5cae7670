"""A client that sends exact bytes."""

import socket
from typing import Self

import conformance.wire
from conformance.wire import Answer as WireAnswer

__all__ = ["Wire", "WireAnswer", "exchange", "has_ipv6", "head", "post", "refused_connection"]


class Wire(conformance.wire.Wire):
    """The suite's client, but that nothing may be refused while it is sent."""

    def send(self, data: bytes) -> Self:
        """Send ``data``, all of it."""
        self.socket.sendall(data)
        return self

    def answer(self) -> WireAnswer:
        """The next answer; its length must be declared."""
        answer = super().answer()
        assert "content-length" in answer.headers
        return answer

    def rest(self) -> bytes:
        """All that the server sends before it closes."""
        return self._file.read()


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
