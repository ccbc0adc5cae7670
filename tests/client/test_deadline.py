"""A call ends at its deadline, also where each of its bytes comes or goes in time."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import httpx
import pytest

from greengrocer_client import AsyncClient, Client, DeadlineExceeded
from support.clients import AnyClient
from support.replies import BODY, Reply, replying

GAP, TIMEOUT = 0.05, 0.5  # seconds: each byte is in time, all of them are not
DRIPS = 600  # of half a minute: then the connection ends, and a call that waited so long fails
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
LARGE = bytes(16 << 20)  # more than the system's buffers hold


def answer_in_drips(connection: socket.socket) -> None:
    """A head, then a byte from time to time."""
    connection.recv(1 << 16)
    connection.sendall(HEAD)
    for _ in range(DRIPS):
        connection.sendall(b" ")
        time.sleep(GAP)


def read_in_drips(connection: socket.socket) -> None:
    """Take a little of an upload from time to time."""
    for _ in range(DRIPS):
        if not connection.recv(1 << 12):
            return
        time.sleep(GAP)


def head_in_drips(connection: socket.socket) -> None:
    """A head that has no end."""
    connection.recv(1 << 16)
    connection.sendall(HEAD.split(b"\r\n")[0])
    for _ in range(DRIPS):
        connection.sendall(b"\r\nx: y")
        time.sleep(GAP)


@contextmanager
def dripping(drip: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that does ``drip`` to each connection until the client leaves it."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    def one(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            drip(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("drip", "image"),
    [(answer_in_drips, b"image"), (read_in_drips, LARGE)],
    ids=["answer", "upload"],
)
def test_drips_do_not_extend_a_call(
    drip: Callable[[socket.socket], None], image: bytes, client_of: AnyClient
) -> None:
    with (
        dripping(drip) as url,
        client_of(url, timeout=TIMEOUT) as client,
        pytest.raises(DeadlineExceeded, match=r"no answer came within 0\.5 s"),
    ):
        client.predict(image)


@pytest.mark.anyio
async def test_drips_of_a_head_do_not_extend_an_asynchronous_call() -> None:
    with dripping(head_in_drips) as url:
        async with AsyncClient(url, timeout=TIMEOUT) as client:
            with pytest.raises(DeadlineExceeded):
                await client.class_names()


def test_an_upload_of_many_pieces_has_its_length(client_of: AnyClient) -> None:
    image = bytes(range(256)) * 4096
    with replying(Reply(body=BODY)) as server, client_of(server.url) as client:
        client.predict(image)
        client.predict(b"")
    assert [each.body for each in server.sent] == [image, b""]
    assert [each.headers["content-length"] for each in server.sent] == [str(len(image)), "0"]
    assert all("transfer-encoding" not in each.headers for each in server.sent)


def test_a_redirect_that_the_callers_client_follows_gets_the_whole_image() -> None:
    image = bytes(range(256)) * 1024
    moved = Reply(307, headers={"Location": "/elsewhere"})
    with (
        replying(moved, Reply(body=BODY)) as server,
        httpx.Client(follow_redirects=True) as http,
        Client(server.url, http=http) as client,
    ):
        assert client.predict(image).prediction == "lime"
    assert [each.body for each in server.sent] == [image, image]
