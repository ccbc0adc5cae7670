"""``greengrocer serve``: the service, until a signal ends it."""

import argparse
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_origin

from greengrocer.floors import check_floors
from greengrocer.foundations import check_foundations
from greengrocer.read_settings import RENAMED, overlaid, read_settings
from greengrocer.settings import PREFIX, Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from greengrocer.cli.commands import Commands
    from greengrocer.web.service import Service
    from greengrocer.web.wire.server import Server

ENDING = (signal.SIGTERM, signal.SIGINT)


def register(commands: "Commands") -> None:
    """Declare the command: one flag for every setting."""
    parser = commands.add_parser(
        "serve",
        help="answer over HTTP",
        description="Answer over HTTP. A flag goes over the environment variable of its name "
        f"({PREFIX}PORT for --port), that one over the file that --config names.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings in TOML")
    for name, field in Settings.model_fields.items():
        flag = "--" + name.replace("_", "-")
        default = "" if field.default in (None, ()) else f" (default: {field.default})"
        parser.add_argument(
            flag,
            dest=name,
            default=argparse.SUPPRESS,
            metavar=_metavar(field.annotation),
            help=f"{field.description}{default}".replace("%", "%%"),
        )
    for name in RENAMED:
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Assemble everything, then open the port."""
    with _signals_heeded():
        return _run(arguments)


@contextmanager
def _signals_heeded() -> Iterator[None]:
    """SIGTERM and SIGINT end the block with 0, but where a server takes them; SIGHUP does nothing.

    In a container this is process 1, for which the kernel drops a signal that nobody handles.
    """
    told = False

    def end(*_: object) -> NoReturn:
        nonlocal told
        told = True
        sys.exit(0)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there are orders to take
    for signum in ENDING:
        signal.signal(signum, end)
    try:
        yield
    except Exception:
        if not told:
            raise
        sys.exit(0)  # a library that was being loaded has made an error of it
    finally:
        ignore_signals()


def ignore_signals() -> None:
    """Let no signal keep this process from what is left: to clean up behind it."""
    for signum in ENDING:
        signal.signal(signum, signal.SIG_IGN)


def _run(arguments: argparse.Namespace) -> int:
    flags = {
        name: value
        for name, value in vars(arguments).items()
        if name in Settings.model_fields or name in RENAMED
    }
    settings = read_settings(flags, arguments.config)
    check_floors({settings.engine})
    check_foundations()
    # Heavy imports only now: `greengrocer --help` and a mistake need none of them.
    from greengrocer.serving.reloading.control import control_path, control_socket  # noqa: PLC0415
    from greengrocer.telemetry.logs import configure_logs  # noqa: PLC0415
    from greengrocer.web.access.keys import read_keys  # noqa: PLC0415
    from greengrocer.web.wire.listener import bind  # noqa: PLC0415

    configure_logs(settings.log_level, settings.log_format)
    _warn_of_settings(settings)
    if settings.api_keys is not None:
        read_keys(settings.api_keys)  # a mistake in it is told before a model is loaded
    with ExitStack() as stack:
        listeners = [stack.enter_context(bind(settings.host, settings.port))]
        if settings.metrics_port is not None:
            host = settings.metrics_host or settings.host
            listeners.append(stack.enter_context(bind(host, settings.metrics_port)))
            port = listeners[-1].getsockname()[1]
            settings = settings.model_copy(update={"metrics_port": port})
        path = settings.control_socket or control_path(listeners[0].getsockname()[1])
        control = stack.enter_context(control_socket(path)) if path else None
        if settings.workers is not None:
            from greengrocer.cli.supervise import supervise  # noqa: PLC0415

            # All processes must know it: they remove it where the supervisor is killed.
            settings = settings.model_copy(update={"control_socket": path})
            return supervise(settings, listeners, control)
        _serve(settings, listeners, control)
    return 0


def _warn_of_settings(settings: Settings) -> None:
    """Warn of names from before a renaming, and of variables that Kubernetes set for a Service."""
    import structlog  # noqa: PLC0415

    log = structlog.get_logger("greengrocer.settings")
    for name in settings.old_names:
        new, times = RENAMED[name]
        unit = "" if times is None else f", in units a {times:,}th as large"
        log.warning(
            "this setting has another name now",
            setting=name,
            remedy=f"set {new}{unit}: the old name goes in 1.0",
        )
    for name in overlaid(settings, os.environ):
        log.warning(
            "a Service's variable, not a setting",
            variable=name,
            remedy="set it in the pod, or enableServiceLinks: false",
        )


def _serve(
    settings: Settings, listeners: list[socket.socket], control: socket.socket | None
) -> None:
    import uvloop  # noqa: F401, PLC0415  # uvicorn would with a coroutine in its hands

    from greengrocer.assemble import assemble  # noqa: PLC0415
    from greengrocer.serving.reloading.reload_triggers import ReloadTriggers  # noqa: PLC0415

    assembled = assemble(settings)
    service, orders = assembled.service, ReloadTriggers(assembled.reloader, control)
    try:
        http_server(settings, assembled.app, listeners, service, orders).run(listeners)
    finally:
        service.classifier.close()


def http_server(
    settings: Settings,
    app: "ASGIApp",
    listeners: list[socket.socket],
    service: "Service",
    beside: AbstractAsyncContextManager[None] | None = None,
) -> "Server":
    """A server of ``app`` with the limits and times of ``settings``; ``beside`` runs with it.

    ``listeners`` are that of the service and, where there is one, that of the metrics.
    """
    from greengrocer.web.observe import note_refused  # noqa: PLC0415
    from greengrocer.web.wire.protocol import WireLimits  # noqa: PLC0415
    from greengrocer.web.wire.server import make_server  # noqa: PLC0415

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
    )


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "{" + ",".join(choices) + "}"
    if get_origin(annotation) is tuple:
        return "LIST"
    (kind,) = [each for each in choices or (annotation,) if each is not type(None)]
    return {int: "N", float: "X", bool: "BOOL", Path: "PATH"}.get(kind, "TEXT")
