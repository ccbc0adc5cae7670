"""``greengrocer serve --workers N``: prepares the sockets, and supervises the processes."""

import asyncio
import json
import os
import socket
import sys

from greengrocer.cli.process import ignore_signals
from greengrocer.serving.workers.managed_process import ProcessSpec
from greengrocer.serving.workers.runtime_directory import (
    ENGINE_SOCKET,
    METRICS,
    SETTINGS,
    listen_privately,
    make_runtime_directory,
    remove_runtime_directory,
    write_privately,
)
from greengrocer.serving.workers.supervisor import Supervisor
from greengrocer.settings import Settings

MARGIN_SECONDS = 5.0  # for HTTP processes, beyond what their settings say


def settings_json(settings: Settings) -> str:
    """The settings for a child, in ASCII: a path may have bytes that are not UTF-8."""
    return json.dumps(settings.model_dump(), default=str)


def supervise(
    settings: Settings, listeners: list[socket.socket], orders: socket.socket | None
) -> int:
    """Run until a signal comes, or until a process cannot be started; returns the exit code."""
    assert settings.workers is not None
    directory = make_runtime_directory(1 + settings.workers)
    try:
        write_privately(directory / SETTINGS, settings_json(settings))
        # the directory where prometheus_client writes its files
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory / METRICS)}

        def spec(role: str, slot: str, *sockets: socket.socket) -> ProcessSpec:
            program = [sys.executable, "-P", "-m", "greengrocer.cli.child"]
            command = [*program, role, str(directory), slot, str(os.getpid())]
            return ProcessSpec(role, slot, command, sockets, directory, environment)

        with listen_privately(directory / ENGINE_SOCKET) as engine_listener:
            supervisor = Supervisor(
                spec("engine", "engine", engine_listener, *([orders] if orders else [])),
                [spec("http", f"http{k}", *listeners) for k in range(settings.workers)],
                listeners,
                settings.drain_delay_seconds + settings.drain_timeout_seconds + MARGIN_SECONDS,
            )
            return asyncio.run(supervisor.run())
    finally:
        ignore_signals()
        remove_runtime_directory(directory)
