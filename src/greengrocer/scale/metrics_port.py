"""A replica's metrics on a port of its own: the proxy would send those of any replica."""

import asyncio
import socket
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from greengrocer.errors import UsageError
from greengrocer.web.wire.listener import bind

PORTS = 100  # as many replicas may be on a node
LAST = 65_535  # of all ports


def free_listener(host: str, first: int) -> socket.socket:
    """A socket on the first free port from ``first`` on, 0 being any; raises UsageError."""
    last = min(first + PORTS - 1, LAST)
    for port in range(first, last + 1):
        with suppress(UsageError):
            listener = bind(host, port)
            try:
                listener.listen()  # until then another replica may have bound it, too
            except OSError:
                listener.close()
            else:
                return listener
    raise UsageError(f"no port of {host} from {first} to {last} is free for metrics")


def serve_beside(app: ASGIApp, listener: socket.socket) -> "asyncio.Task[None]":
    """Answer on ``listener``, on the running event loop, until the loop ends."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
    return asyncio.create_task(uvicorn.Server(config).serve(sockets=[listener]))
