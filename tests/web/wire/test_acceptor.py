"""Connections are accepted quickly, however long a turn of the event loop is."""

import asyncio
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import pytest
import uvloop

from greengrocer.web.wire.acceptor import Acceptor
from support.few_descriptors import descriptors_left
from support.servers import StartServer
from support.waiting import SECONDS
from support.wire import Wire, head

CONNECTIONS = 400


class Noted(asyncio.Protocol):
    """A connection that is noted in ``made``."""

    def __init__(self, made: list[asyncio.BaseTransport]) -> None:
        self.made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made.append(transport)


async def accepted(listener: socket.socket) -> tuple[list[asyncio.BaseTransport], int]:
    """The accepted connections, once all are, and how many turns of the loop that took."""
    made: list[asyncio.BaseTransport] = []
    acceptor = Acceptor(listener, lambda: Noted(made))
    acceptor.start(CONNECTIONS)
    turns = 0
    with ExitStack() as opened:
        for _ in range(CONNECTIONS):
            opened.enter_context(socket.create_connection(listener.getsockname()))
        while len(made) < CONNECTIONS:
            await asyncio.sleep(0)
            turns += 1
        acceptor.close()
        for transport in made:
            end = transport.get_extra_info("socket")
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            cast("asyncio.Transport", transport).abort()  # uvloop's own is no subclass
    return made, turns


def test_the_last_of_many_new_connections_does_not_wait_for_many_turns() -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        made, turns = runner.run(asyncio.wait_for(accepted(listener), SECONDS))
    assert len(made) == CONNECTIONS
    assert turns < CONNECTIONS // 4


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prlimit")
def test_a_connection_without_a_descriptor_is_answered_once_there_is_one(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--bundle", str(fake_bundle), "--engine", "fake")
    with Wire(server.url) as before:
        assert before.send(head("GET", "/livez")).answer().status == 200
        with ExitStack() as later:
            with descriptors_left(server.process.pid, 0):
                new = later.enter_context(Wire(server.url))
                new.send(head("GET", "/livez"))
                server.until_logged(lambda: any("cannot accept" in line for line in server.log))
                assert before.send(head("GET", "/livez")).answer().status == 200
            assert new.answer().status == 200
    assert sum("cannot accept" in line for line in server.log) == 1
