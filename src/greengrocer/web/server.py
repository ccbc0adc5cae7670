"""The HTTP server: uvicorn on one event loop, quiet when idle, and stopped by a signal."""

import asyncio
import signal
import socket
from functools import partial
from types import FrameType

import structlog
import uvicorn
from starlette.types import ASGIApp

from greengrocer.errors import UsageError
from greengrocer.serving.readiness import Readiness, State
from greengrocer.web.protocol import LimitedProtocol, WireLimits

BACKLOG = 2048

log = structlog.get_logger("greengrocer.server")


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, not yet listening; raises UsageError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise UsageError(f"cannot listen on {host}:{port}: {reason.lower()}") from error
    return listener


class Server(uvicorn.Server):
    """uvicorn's server, waiting for an event where the original looks ten times a second."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, readiness: Readiness
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self.readiness = readiness
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signal = "none"

    async def main_loop(self) -> None:
        """Serve until a signal comes."""
        self._loop = asyncio.get_running_loop()
        self.readiness.state = State.READY
        host, port = self._listener.getsockname()[:2]
        log.info("serving", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
        if not self.should_exit:
            await self._stopping.wait()
        log.info("stopping", signal=self._signal)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Finish what was taken at the first signal; leave at once at the second SIGINT.

        Nothing is logged here: the signal may have interrupted a log line, which holds a lock.
        """
        del frame
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self._signal = signal.Signals(sig).name
        self.readiness.state = State.STOPPING
        self.should_exit = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)


def make_server(
    app: ASGIApp,
    listener: socket.socket,
    readiness: Readiness,
    keep_alive: float,
    drain: float,
    limits: WireLimits,
) -> Server:
    """A server of ``app``; ``run([listener])`` serves until SIGTERM or SIGINT.

    ``keep_alive`` bounds an idle connection, ``drain`` the finishing of what was taken when the
    signal came; both in seconds.
    """
    config = uvicorn.Config(
        app,
        http=partial(LimitedProtocol, limits=limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        loop="uvloop",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
        timeout_graceful_shutdown=drain,  # type: ignore[arg-type]
    )
    return Server(config, listener, readiness)
