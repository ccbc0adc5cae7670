"""What every serving process has: its signal handlers, and its HTTP server."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, NoReturn

from greengrocer.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from greengrocer.web.service import Service
    from greengrocer.web.wire.server import OtherServer, Server

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def end_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT end the block with exit code 0, unless a server handles them.

    SIGHUP does nothing until a reloader handles it. In a container this is process 1: the kernel
    drops a signal for which process 1 has no handler.
    """
    signalled = False

    def end(*_: object) -> NoReturn:
        nonlocal signalled
        signalled = True
        ignore_signals()  # the next one would interrupt what this one began
        sys.exit(0)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for signum in ENDING:
        signal.signal(signum, end)
    try:
        yield
    except Exception:
        if not signalled:
            raise
        sys.exit(0)  # a library that was being loaded has replaced SystemExit by its own error
    finally:
        ignore_signals()


def ignore_signals() -> None:
    """Ignore SIGTERM and SIGINT from now on, so that the clean-up is not interrupted."""
    for signum in ENDING:
        signal.signal(signum, signal.SIG_IGN)


def http_server(
    settings: Settings,
    app: "ASGIApp",
    listeners: list[socket.socket],
    service: "Service",
    beside: AbstractAsyncContextManager[None] | None = None,
    other: "OtherServer | None" = None,
) -> "Server":
    """The HTTP server of ``app``, with the limits and times of ``settings``.

    ``listeners`` are the service's and, where it has its own, the metrics port's. ``beside`` is
    entered once the server listens and left when it stops; ``other`` starts before it, and stops
    with it.
    """
    from greengrocer.web.note_refused import note_refused  # noqa: PLC0415
    from greengrocer.web.wire.protocol import WireLimits  # noqa: PLC0415
    from greengrocer.web.wire.server import make_server  # noqa: PLC0415

    def facts() -> dict[str, object]:
        models = service.classifier.catalogue.models
        return {
            "engine": settings.engine,
            "models": [f"{model.key} {model.labels.model.version}" for model in models],
        }

    return make_server(
        app,
        listeners,
        service.readiness,
        settings.keep_alive_timeout_seconds,
        settings.drain_timeout_seconds,
        WireLimits(settings.header_timeout_seconds, settings.send_timeout_seconds),
        settings.drain_delay_seconds,
        beside,
        note_refused(service.metrics, service.access_log, service.log_addresses),
        other,
        facts,
        service.admission.limits.upload_bytes // 4,
    )
