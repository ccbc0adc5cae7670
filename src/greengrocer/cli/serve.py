"""``greengrocer serve``: runs the service until SIGTERM or SIGINT."""

import argparse
import importlib
import os
import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from greengrocer.cli.process import end_on_signals, http_server
from greengrocer.errors import BrokenExtra, MissingExtra
from greengrocer.minimum_versions import check_minimum_versions
from greengrocer.read_settings import RENAMED, overlaid, read_settings
from greengrocer.safe_text import MAX_REASON, one_line, words_of
from greengrocer.settings import PREFIX, REPEATED, Settings, flag_of
from greengrocer.uvicorn_overrides import check_overrides

if TYPE_CHECKING:
    from greengrocer.cli.commands import Commands

GRPC = "grpc"  # the extra
# What it needs, and what was generated for a protobuf that may not be the installed one.
GRPC_MODULES = (
    "greengrocer.rpc.messages.open_inference_pb2",
    "grpc",
    "grpc_health.v1.health_pb2",
    "grpc_reflection.v1alpha.reflection_pb2",
)


def register(commands: "Commands") -> None:
    """Declare the command: one flag for every setting."""
    parser = commands.add_parser(
        "serve",
        help="run the HTTP service",
        description="Run the HTTP service until SIGTERM or SIGINT. Settings are read in this "
        f"order: a flag, as --port 8080; its environment variable, as {PREFIX}PORT=8080; the file "
        "of --config, as port = 8080; the default.",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings in TOML, as service.toml"
    )
    for name, field in Settings.model_fields.items():
        repeated = name in REPEATED.values()
        parser.add_argument(
            flag_of(name),
            dest=name,
            action="append" if repeated else "store",
            default=argparse.SUPPRESS,
            metavar="TEXT" if repeated else _metavar(field.annotation),
            help=f"{field.description}{_default(field.default)}".replace("%", "%%"),
        )
    for name in RENAMED:
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the service; returns the exit code."""
    with end_on_signals():
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    flags = {
        name: value
        for name, value in vars(arguments).items()
        if name in Settings.model_fields or name in RENAMED
    }
    settings = read_settings(flags, arguments.config)
    check_minimum_versions({settings.engine})
    check_overrides()
    # Heavy imports only now: `greengrocer --help` and a mistake need none of them.
    from greengrocer.serving.reloading.control import control_path, control_socket  # noqa: PLC0415
    from greengrocer.telemetry.logs import configure_logs  # noqa: PLC0415
    from greengrocer.telemetry.traces import check_traces  # noqa: PLC0415
    from greengrocer.web.access.keys import read_keys  # noqa: PLC0415
    from greengrocer.web.wire.listener import bind  # noqa: PLC0415

    configure_logs(settings.log_level, settings.log_format)
    _warn_of_settings(settings)
    if settings.traces:
        check_traces()
    if settings.api_keys is not None:
        read_keys(settings.api_keys)  # report a mistake in it before loading a model
    with ExitStack() as stack:
        listeners = [stack.enter_context(bind(settings.host, settings.port))]
        if settings.metrics_port is not None:
            host = settings.metrics_host or settings.host
            listeners.append(stack.enter_context(bind(host, settings.metrics_port)))
            port = listeners[-1].getsockname()[1]
            settings = settings.model_copy(update={"metrics_port": port})
        if settings.grpc_port is not None:
            check_grpc(workers=settings.workers is not None)
            listeners.append(stack.enter_context(bind(settings.host, settings.grpc_port)))
        path = settings.control_socket or control_path(listeners[0].getsockname()[1])
        control = stack.enter_context(control_socket(path)) if path else None
        if settings.workers is not None:
            from greengrocer.cli.supervise import supervise  # noqa: PLC0415

            # Every process needs it: they remove the socket if the supervisor is killed.
            settings = settings.model_copy(update={"control_socket": path})
            return supervise(settings, listeners, control)
        ended = _serve(settings, listeners, control)
    if not ended:
        os._exit(0)  # the interpreter would free a library under the thread that works in it
    return 0


def check_grpc(workers: bool) -> None:
    """Raise MissingExtra where libraries of gRPC are missing, BrokenExtra where they do not fit.

    Raises UsageError where there is no room for the path of its socket.
    """
    try:
        for name in GRPC_MODULES:
            importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra("--grpc-port", GRPC) from error
    except Exception as error:  # protobuf has an error of its own for versions that do not fit
        raise BrokenExtra(GRPC, one_line(words_of(error), MAX_REASON)) from error
    from greengrocer.rpc.gate import check_path  # noqa: PLC0415

    check_path(workers)


def _warn_of_settings(settings: Settings) -> None:
    """Warn of names from before a renaming, and of variables that Kubernetes set for a Service."""
    import structlog  # noqa: PLC0415

    log = structlog.get_logger("greengrocer.settings")
    for name in settings.old_names:
        new, times = RENAMED[name]
        unit = "" if times is None else f" to the number times {times:,}"
        log.warning(
            "setting renamed",
            setting=name,
            remedy=f"set {new}{unit}: the old name will be removed in 1.0",
        )
    for name in overlaid(settings, os.environ):
        log.warning(
            "variable of a Kubernetes Service, not read as a setting",
            variable=name,
            remedy="set it in the pod, or enableServiceLinks: false",
        )


def _serve(
    settings: Settings, listeners: list[socket.socket], control: socket.socket | None
) -> bool:
    """Serve in this process until a signal comes; False where a thread works even at the end."""
    import uvloop  # noqa: F401, PLC0415  # or uvicorn would import it while a coroutine waits

    from greengrocer.assemble import assemble, make_rpc_server  # noqa: PLC0415
    from greengrocer.serving.reloading.orders import Orders  # noqa: PLC0415

    assembled = assemble(settings)
    service, orders = assembled.service, Orders(assembled.manager, control, settings.watch)
    rpc = make_rpc_server(settings, service, listeners)
    ended = False
    with suppress(SystemExit):  # a further signal: end without waiting for the threads
        try:
            http_server(settings, assembled.app, listeners, service, orders, rpc).run(listeners)
        finally:
            ended = service.close()
    return ended


def _default(value: Any) -> str:
    """The end of a flag's help: its default, where it has one."""
    shown = ", ".join(value) if isinstance(value, tuple) else value
    return "" if value in (None, ()) else f" (default: {shown})"


def _metavar(annotation: Any) -> str:
    choices = getattr(annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "{" + ",".join(choices) + "}"
    if get_origin(annotation) is tuple:
        return "LIST"
    (kind,) = [each for each in choices or (annotation,) if each is not type(None)]
    return {int: "N", float: "X", bool: "BOOL", Path: "PATH"}.get(kind, "TEXT")
