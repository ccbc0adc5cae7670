"""``greengrocer serve --workers N``: prepares the sockets, and supervises the processes."""

import asyncio
import os
import socket
import sys

from greengrocer.cli.process import ignore_signals
from greengrocer.serving.workers.keeper import Recipe
from greengrocer.serving.workers.private import (
    ENGINE_SOCKET,
    METRICS,
    SETTINGS,
    listen_privately,
    make_private_directory,
    remove_private_directory,
    write_privately,
)
from greengrocer.serving.workers.supervisor import Supervisor
from greengrocer.settings import Settings

MARGIN_SECONDS = 5.0  # for HTTP processes, beyond what their settings say


def supervise(
    settings: Settings, listeners: list[socket.socket], orders: socket.socket | None
) -> int:
    """Run until a signal comes, or until a process cannot be started; returns the exit code."""
    assert settings.workers is not None
    directory = make_private_directory(1 + settings.workers)
    try:
        write_privately(directory / SETTINGS, settings.model_dump_json())
        # prometheus_client puts its files where this says
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory / METRICS)}

        def recipe(role: str, slot: str, *sockets: socket.socket) -> Recipe:
            program = [sys.executable, "-P", "-m", "greengrocer.cli.child"]
            command = [*program, role, str(directory), slot, str(os.getpid())]
            return Recipe(role, slot, command, sockets, directory, environment)

        with listen_privately(directory / ENGINE_SOCKET) as engine_listener:
            supervisor = Supervisor(
                recipe("engine", "engine", engine_listener, *([orders] if orders else [])),
                [recipe("http", f"http{k}", *listeners) for k in range(settings.workers)],
                listeners,
                settings.drain_delay_seconds + settings.drain_timeout_seconds + MARGIN_SECONDS,
            )
            return asyncio.run(supervisor.run())
    finally:
        ignore_signals()
        remove_private_directory(directory)
