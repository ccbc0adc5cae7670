"""The service opens no connection: not at its start, not for any request, not as it ends."""

import subprocess
from pathlib import Path

import pytest

from support.pictures import jpeg
from support.servers import StartServer
from support.strace import needs_strace, spoken_to, traced_python

pytestmark = pytest.mark.accept

ELSEWHERE = "http://127.0.0.1:9/photo.jpg"
CONNECT = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
DATAGRAM = """
import socket
socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))
"""


@pytest.mark.parametrize("program", [CONNECT, DATAGRAM], ids=["connect", "datagram"])
def test_a_connection_would_be_seen(tmp_path: Path, program: str) -> None:
    needs_strace()
    python, trace = traced_python(tmp_path)
    process = subprocess.Popen([python, "-c", program])
    assert process.wait(60) == 0
    assert spoken_to(trace, process.pid)


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one process", "workers"])
def test_nobody_is_spoken_to_who_has_not_come(
    serve: StartServer, tmp_path: Path, grocery_bundle: Path, workers: tuple[str, ...]
) -> None:
    needs_strace()
    python, trace = traced_python(tmp_path)
    server = serve("--bundle", str(grocery_bundle), *workers, python=python)
    picture = {"file": jpeg(89)}
    link = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [ELSEWHERE]}]}
    with server.client() as client:
        told = [
            client.post("/predict", files=picture),
            client.post("/explain", files=picture),
            client.post("/predict/batch", files=picture),
            client.get("/random-image"),
            client.get("/"),
            client.get("/docs"),
            client.get("/openapi.json"),
            client.get("/metrics"),
        ]
        refused = [
            client.post("/predict", params={"url": ELSEWHERE, "bundle": ELSEWHERE}, files=picture),
            client.post("/predict", data={"file": ELSEWHERE, "url": ELSEWHERE}),
            client.post("/predict", json={"url": ELSEWHERE}),
            client.post("/v2/models/grocery/infer", json=link),
            client.get("/random-image/" + ELSEWHERE),
        ]
    assert {answer.status_code for answer in told} == {200}
    assert all(400 <= answer.status_code < 500 for answer in refused)
    assert server.stop() == 0
    assert not spoken_to(trace, server.process.pid)
