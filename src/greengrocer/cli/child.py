"""The process that the supervisor of ``serve --workers`` starts: for the engine or for HTTP.

Its arguments are the role, the private directory, the slot of its metrics, the supervisor's
process id, and the numbers of inherited sockets: that of the supervisor's channel first.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from greengrocer.cli.output import MISTAKE, complain, lacking, let_go
from greengrocer.cli.process import http_server
from greengrocer.errors import ControlRefused, UsageError
from greengrocer.serving.workers.runtime_directory import (
    ENGINE_SOCKET,
    SETTINGS,
    end_with,
    remove_runtime_directory,
    reserve_metrics,
)
from greengrocer.serving.workers.supervisor_channel import SupervisorChannel, SupervisorMessage
from greengrocer.settings import Settings
from greengrocer.telemetry.logs import configure_logs
from greengrocer.telemetry.metrics import take_slot


def run_engine(settings: Settings, directory: Path, sockets: list[socket.socket]) -> None:
    """Serve the models until the supervisor sends SIGTERM, or dies."""
    from greengrocer.assemble_workers import assemble_engine  # noqa: PLC0415
    from greengrocer.serving.reloading.orders import Orders  # noqa: PLC0415

    assembled = assemble_engine(settings, directory)
    channel_end, listener, *orders = sockets

    async def serve() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        server = assembled.server
        channel: SupervisorChannel

        def hear(message: SupervisorMessage, _: float) -> None:
            if message is SupervisorMessage.HEALTH:
                channel.send(SupervisorMessage.HEALTHY, server.hopeless())

        channel = await SupervisorChannel.over(channel_end, hear)
        server.suspect = partial(channel.send, SupervisorMessage.SUSPICION)
        await server.start(listener)
        async with Orders(assembled.manager, orders[0] if orders else None, settings.watch):
            channel.send(SupervisorMessage.READY)
            await stopping.wait()
        server.stop()

    asyncio.run(serve())
    assembled.models.close()
    os._exit(0)  # a thread that hangs would keep the interpreter from ending


def run_http(settings: Settings, directory: Path, sockets: list[socket.socket]) -> None:
    """Serve HTTP until the supervisor sends SIGTERM, or dies."""
    import uvloop  # noqa: PLC0415

    from greengrocer.assemble import make_rpc_server  # noqa: PLC0415
    from greengrocer.assemble_workers import assemble_http  # noqa: PLC0415
    from greengrocer.serving.workers.remote import RemoteClassifier  # noqa: PLC0415
    from greengrocer.serving.workers.watchdog import Watchdog  # noqa: PLC0415
    from greengrocer.web.app import create_app  # noqa: PLC0415

    channel_end, *listeners = sockets

    async def serve() -> None:
        channel = await SupervisorChannel.over(channel_end, _hear_nothing)
        suspect_engine = partial(channel.send, SupervisorMessage.SUSPICION)
        classifier = RemoteClassifier(directory / ENGINE_SOCKET, suspect_engine)
        await classifier.start()
        service = assemble_http(settings, classifier)
        watchdog = Watchdog()
        app = watchdog.over(create_app(service))
        rpc = make_rpc_server(settings, service, listeners, directory, watchdog.over)
        server = http_server(settings, app, listeners, service, _reported(channel), rpc)
        try:
            await server.serve(listeners)
        finally:
            service.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


@asynccontextmanager
async def _reported(channel: SupervisorChannel) -> AsyncIterator[None]:
    """Tell the supervisor that the start succeeded: a server enters this once it listens."""
    channel.send(SupervisorMessage.READY)
    yield


def _hear_nothing(message: SupervisorMessage, value: float) -> None:
    """Ignore a message: the supervisor sends none to an HTTP process."""


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """Exit: there is no request to finish yet."""
    del signum, frame
    sys.exit(0)


def _remove_control(settings: Settings) -> None:
    from greengrocer.serving.reloading.control import remove_stale  # noqa: PLC0415

    if settings.control_socket is not None:
        with suppress(ControlRefused):  # another service uses it now
            remove_stale(settings.control_socket)


Role = Callable[[Settings, Path, list[socket.socket]], None]
# The engine must die with its supervisor even if it hangs; HTTP processes clean up after both.
ROLES: dict[str, tuple[Role, signal.Signals]] = {
    "engine": (run_engine, signal.SIGKILL),
    "http": (run_http, signal.SIGINT),
}


def main(arguments: list[str]) -> int:
    """Run one role and return the exit code."""
    name, directory_name, slot, supervisor, *numbers = arguments
    directory = Path(directory_name)
    role, end = ROLES[name]
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = Settings(**json.loads((directory / SETTINGS).read_text()))
    try:
        end_with(int(supervisor), end)
        configure_logs(settings.log_level, settings.log_format)
        reserve_metrics(directory, slot)
        take_slot(slot)
        role(settings, directory, [socket.socket(fileno=int(number)) for number in numbers])
    except UsageError as error:
        complain(str(error))
        return MISTAKE
    except OSError as error:
        return lacking(error)
    finally:
        let_go(sys.stderr)
        if os.getppid() != int(supervisor):  # it died without cleaning up
            remove_runtime_directory(directory)
            _remove_control(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
