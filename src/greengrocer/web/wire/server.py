"""The HTTP server: uvicorn on one event loop, idle without wake-ups, stopped by signals."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Protocol, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from greengrocer.serving.memory import SERVER_TRIMS_AFTER, Trim
from greengrocer.serving.readiness import Readiness, State
from greengrocer.web.note_refused import NoteRefused
from greengrocer.web.spare_memory import SpareMemory
from greengrocer.web.wire.acceptor import Acceptor
from greengrocer.web.wire.listener import url_of
from greengrocer.web.wire.protocol import LimitedProtocol, WireLimits
from greengrocer.web.wire.read_ahead import ReadAheadBudget

BACKLOG = 2048
LISTENERS = ("serving", "metrics")  # their names in the log

log = structlog.get_logger("greengrocer.server")


class OtherServer(Protocol):
    """A server of another protocol, on the same event loop."""

    async def start(self, received: Callable[[int], None]) -> None:
        """Listen, and answer; call ``received`` with numbers of bytes that come."""

    def busy(self) -> bool:
        """Whether a request is in flight."""

    async def stop(self, seconds: float) -> None:
        """Accept no more requests, and finish those in flight within so many ``seconds``.

        Called again with fewer seconds, it stops earlier.
        """


class Server(uvicorn.Server):
    """uvicorn's server, which waits for a signal and does not poll for it ten times a second."""

    def __init__(
        self,
        config: uvicorn.Config,
        listeners: Sequence[socket.socket],
        readiness: Readiness,
        drain: float,
        drain_delay: float,
        beside: AbstractAsyncContextManager[None],
        other: OtherServer | None,
        facts: Callable[[], Mapping[str, object]],
        received: Callable[[int], None],
    ) -> None:
        super().__init__(config)
        self._received = received
        self._facts = facts
        self._listeners = listeners
        self.readiness = readiness
        self._drain = drain
        self._drain_delay = drain_delay
        self._beside = beside
        self._other = other
        self._stop_requested = asyncio.Event()
        self._skip_delay = asyncio.Event()
        self._skip_drain = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._signal = "none"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the other server, then accept connections.

        The other one may fail to start: by then no connection may have been accepted.
        """
        self._loop = asyncio.get_running_loop()
        if self._other is not None:
            await self._other.start(self._received)
        make_protocol = partial(
            self.config.http_protocol_class,
            config=self.config,  # type: ignore[call-arg]
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        acceptors = [Acceptor(listener, make_protocol) for listener in sockets or ()]
        for acceptor in acceptors:
            acceptor.start(self.config.backlog)
        self.servers = cast("list[asyncio.Server]", acceptors)  # uvicorn needs no more
        self.started = True

    async def main_loop(self) -> None:
        """Serve until a signal comes, and for the drain delay, so that load balancers notice."""
        async with self._beside:
            self.readiness.state = State.STOPPING if self.should_exit else State.READY
            told = {"serving": self._facts()}
            for name, listener in zip(LISTENERS, self._listeners, strict=False):
                log.info(name, url=url_of(listener), **told.get(name, {}))
            await self._stop_requested.wait()
            if not self._skip_delay.is_set() and self._drain_delay:
                log.info("draining", signal=self._signal, seconds=self._drain_delay)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._skip_delay.wait(), self._drain_delay)
        log.info("stopping", signal=self._signal)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish the requests in flight, those of the other server at the same time."""
        if self._other is None:
            await super().shutdown(sockets)
            return
        stopping = asyncio.ensure_future(self._other.stop(self._drain))
        await super().shutdown(sockets)
        skipped = asyncio.ensure_future(self._skip_drain.wait())
        await asyncio.wait((stopping, skipped), return_when=asyncio.FIRST_COMPLETED)
        skipped.cancel()
        await self._other.stop(0)
        await stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop being ready. SIGINT skips the drain delay; a second signal skips the drain, too.

        Nothing is logged here: the signal may have interrupted a log call, which holds a lock.
        """
        del frame
        self.force_exit = self.should_exit
        self._signal = signal.Signals(sig).name
        self.readiness.state = State.STOPPING
        at_once = self.force_exit or sig == signal.SIGINT
        self.should_exit = True
        if self._loop is None:
            self._wake(at_once)
        else:
            self._loop.call_soon_threadsafe(self._wake, at_once)

    def _wake(self, at_once: bool) -> None:
        self._stop_requested.set()
        if at_once:
            self._skip_delay.set()
        if self.force_exit:
            self._skip_drain.set()


def make_server(
    app: ASGIApp,
    listeners: Sequence[socket.socket],
    readiness: Readiness,
    keep_alive: float,
    drain: float,
    limits: WireLimits,
    drain_delay: float = 0.0,
    beside: AbstractAsyncContextManager[None] | None = None,
    note: NoteRefused | None = None,
    other: OtherServer | None = None,
    facts: Callable[[], Mapping[str, object]] = dict,
    spare_bytes: int = 0,
) -> Server:
    """A server of ``app``; ``run(listeners)`` serves until SIGTERM or SIGINT.

    An idle connection is closed after ``keep_alive``. After SIGTERM the server accepts requests for
    ``drain_delay``, then finishes what is in flight within ``drain``. All are in seconds.
    ``beside`` is entered once it listens, and left when it stops; ``note`` is called for bytes that
    are no request. ``other`` starts before it, and stops with it. ``facts`` of what serves
    are for the log. At most ``spare_bytes`` of the memory of uploads are kept for the next ones,
    until the process is idle: then it returns free memory, whichever of the two servers received
    much.
    """

    def busy() -> bool:
        return bool(server.server_state.tasks) or (other is not None and other.busy())

    spare = SpareMemory(spare_bytes)
    trim = Trim(busy, SERVER_TRIMS_AFTER, spare.clear)
    protocol = partial(
        LimitedProtocol,
        limits=limits,
        readiness=readiness,
        note=note,
        ahead_budget=ReadAheadBudget(),
        received=trim.received,
        spare=spare,
    )
    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]
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
    beside = beside or nullcontext()
    server = Server(
        config, listeners, readiness, drain, drain_delay, beside, other, facts, trim.received
    )
    return server
