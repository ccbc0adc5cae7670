"""The socket that clients connect to; a supervisor imports it without the server."""

import socket

from greengrocer.errors import UsageError


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening; raises UsageError where it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:  # UnicodeError: not a host name
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot listen on {host}:{port}: {reason.lower()}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL of ``listener``."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
