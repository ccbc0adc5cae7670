"""``greengrocer serve``: the service, until a signal ends it."""

import argparse
import socket
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greengrocer.settings import PREFIX, Settings, read_settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from greengrocer.cli.commands import Commands
    from greengrocer.serving.readiness import Readiness
    from greengrocer.web.server import Server


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
        default = "" if field.default is None else f" (default: {field.default})"
        parser.add_argument(
            flag,
            dest=name,
            default=argparse.SUPPRESS,
            metavar=_metavar(field.annotation),
            help=f"{field.description}{default}".replace("%", "%%"),
        )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Assemble everything, then open the port."""
    flags = {
        name: value for name, value in vars(arguments).items() if name in Settings.model_fields
    }
    settings = read_settings(flags, arguments.config)
    # Heavy imports only now: `greengrocer --help` and a mistake need none of them.
    from greengrocer.serving.control import control_path, control_socket  # noqa: PLC0415
    from greengrocer.telemetry.logs import configure_logs  # noqa: PLC0415
    from greengrocer.web.listener import bind  # noqa: PLC0415

    configure_logs(settings.log_level, settings.log_format)
    listener = bind(settings.host, settings.port)
    with listener:
        path = settings.control or control_path(listener.getsockname()[1])
        with control_socket(path) if path else nullcontext() as control:
            if settings.workers is not None:
                from greengrocer.cli.supervise import supervise  # noqa: PLC0415

                # All processes must know it: they remove it where the supervisor is killed.
                settings = settings.model_copy(update={"control": path})
                return supervise(settings, listener, control)
            _serve(settings, listener, control)
    return 0


def _serve(settings: Settings, listener: socket.socket, control: socket.socket | None) -> None:
    from greengrocer.assemble import assemble  # noqa: PLC0415
    from greengrocer.serving.orders import Orders  # noqa: PLC0415

    assembled = assemble(settings)
    service, orders = assembled.service, Orders(assembled.reloader, control)
    try:
        http_server(settings, assembled.app, listener, service.readiness, orders).run([listener])
    finally:
        service.classifier.close()


def http_server(
    settings: Settings,
    app: "ASGIApp",
    listener: socket.socket,
    readiness: "Readiness",
    beside: AbstractAsyncContextManager[None] | None = None,
) -> "Server":
    """A server of ``app`` with the limits and times of ``settings``; ``beside`` runs with it."""
    from greengrocer.web.protocol import WireLimits  # noqa: PLC0415
    from greengrocer.web.server import make_server  # noqa: PLC0415

    return make_server(
        app,
        listener,
        readiness,
        settings.keep_alive,
        settings.drain,
        WireLimits(head_seconds=settings.head_seconds),
        settings.drain_delay,
        beside,
    )


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "{" + ",".join(choices) + "}"
    return {"int": "N", "float": "X", "bool": "BOOL", "str": "TEXT"}.get(
        getattr(annotation, "__name__", ""), "N" if int in choices else "PATH"
    )
