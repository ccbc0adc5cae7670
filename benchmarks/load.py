"""A closed-loop load generator that costs little: raw sockets, one request a client at a time."""

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Outcome:
    """What one run of the load saw. Latencies are in seconds."""

    seconds: float
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    generator_seconds: float = 0.0  # the generator's own processor time

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """A latency in seconds."""
        return float(np.percentile(self.latencies, percent))


def run_load(port: int, pictures: Sequence[bytes], clients: int, seconds: float) -> Outcome:
    """Post ``pictures`` to ``/predict`` from ``clients`` connections for ``seconds``.

    A client sends its next picture when the last is answered. What is in flight at the end is
    waited for and counted, and the time until then too.
    """
    requests = [_request(picture) for picture in pictures]
    threads = []
    results: list[tuple[list[float], int]] = []
    started, processor = time.perf_counter(), time.process_time()
    for client in range(clients):
        mine = requests[client:] + requests[:client]
        thread = threading.Thread(
            target=lambda mine=mine: results.append(_client(port, mine, started + seconds))
        )
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    outcome = Outcome(time.perf_counter() - started)
    outcome.generator_seconds = time.process_time() - processor
    for latencies, errors in results:
        outcome.latencies += latencies
        outcome.errors += errors
    return outcome


def _request(picture: bytes) -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: image/jpeg\r\n"
        f"content-length: {len(picture)}\r\n\r\n"
    )
    return head.encode() + picture


def _client(port: int, requests: Sequence[bytes], until: float) -> tuple[list[float], int]:
    latencies, errors, turn = [], 0, 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (sent := time.perf_counter()) < until:
            connection.sendall(requests[turn % len(requests)])
            turn += 1
            if _status(connection) == 200:
                latencies.append(time.perf_counter() - sent)
            else:
                errors += 1
    return latencies, errors


def _status(connection: socket.socket) -> int:
    """Read one whole answer and return its status."""
    data = connection.recv(65536)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    start = data.index(b"content-length: ") + 16
    total = end + 4 + int(data[start : data.index(b"\r\n", start)])
    while len(data) < total:
        data += _more(connection)
    return int(data[9:12])


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the service closed the connection")
    return data
