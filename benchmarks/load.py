"""A closed-loop load generator that costs little: raw sockets, one request a client at a time."""

import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

SILENCE_SECONDS = 60.0  # after which a service counts as gone
RETRY_SECONDS = 0.1
BOUNDARY = b"a-boundary-as-long-as-those-that-clients-choose"
LAST_CHUNK = b"\r\n0\r\n\r\n"


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


def run_load(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Outcome:
    """Send ``requests``, whole ones, from ``clients`` connections for ``seconds``.

    A client sends its next request when the last is answered. What is in flight at the end is
    waited for and counted, and the time until then too. An answer other than 200 is an error, and
    so is a connection that breaks; the client opens another.
    """
    seen = [Outcome(0.0) for _ in range(clients)]
    threads = []
    started, processor = time.perf_counter(), time.process_time()
    for client, outcome in enumerate(seen):
        mine = itertools.cycle([*requests[client:], *requests[:client]])
        thread = threading.Thread(target=_client, args=(port, mine, started + seconds, outcome))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return Outcome(
        seconds=time.perf_counter() - started,
        latencies=[latency for outcome in seen for latency in outcome.latencies],
        errors=sum(outcome.errors for outcome in seen),
        generator_seconds=time.process_time() - processor,
    )


def picture_request(image: bytes) -> bytes:
    """An image as the plain body of a request to ``/predict``."""
    return request("/predict", "image/jpeg", image)


def form_request(*images: bytes, target: str = "/predict") -> bytes:
    """Images as the files of a form."""
    disposition = b'Content-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
    start = b"--" + BOUNDARY + b"\r\n" + disposition + b"Content-Type: image/jpeg\r\n\r\n"
    parts = b"".join(start + image + b"\r\n" for image in images)
    kind = f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return request(target, kind, parts + b"--" + BOUNDARY + b"--\r\n")


def tensor_body(shape: Sequence[int], *images: bytes) -> tuple[bytes, int]:
    """Images as the binary tensor of an Open Inference request, and the length of its JSON."""
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {"name": "image", "datatype": "BYTES", "shape": shape}
    asked = {"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}
    head = json.dumps(asked).encode()
    return head + data, len(head)


def request(target: str, kind: str, body: bytes, *headers: str) -> bytes:
    """A whole request with a body."""
    lines = [
        f"POST {target} HTTP/1.1",
        "host: 127.0.0.1",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _client(port: int, requests: Iterator[bytes], until: float, outcome: Outcome) -> None:
    while time.perf_counter() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _converse(connection, requests, until, outcome)
        except OSError:
            outcome.errors += 1
            time.sleep(RETRY_SECONDS)


def _converse(
    connection: socket.socket, requests: Iterator[bytes], until: float, outcome: Outcome
) -> None:
    closing = False  # the service may answer, and end the connection
    while not closing and (sent := time.perf_counter()) < until:
        connection.sendall(next(requests))
        status, closing = _answer(connection)
        if status == 200:
            outcome.latencies.append(time.perf_counter() - sent)
        else:
            outcome.errors += 1


def _answer(connection: socket.socket) -> tuple[int, bool]:
    """Read one whole answer: its status, and whether it says that it is the connection's last."""
    data = connection.recv(65536)
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(connection)
    head = data[: end + 2].lower()  # Triton's begin with capitals
    closing = b"\r\nconnection: close" in head
    length = head.find(b"\r\ncontent-length: ")
    if length < 0:
        while not data.endswith(LAST_CHUNK):
            data += _more(connection)
        return int(data[9:12]), closing
    start = length + 18
    total = end + 4 + int(head[start : head.index(b"\r\n", start)])
    while len(data) < total:
        data += _more(connection)
    return int(data[9:12]), closing


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the service closed the connection")
    return data
