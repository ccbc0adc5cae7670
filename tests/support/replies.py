"""A small HTTP server that gives the replies of a test, in order, and keeps what it was sent."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson

# an answer of /predict
BODY: dict[str, object] = {
    "prediction": "lime",
    "confidence": 0.75,
    "coarse": {"prediction": "citrus", "confidence": 1},
    "answer": {"level": "fine", "name": "lime"},
    "known": True,
    "known_score": 0.5,
    "top": [{"class": "lime", "confidence": 0.75}, {"class": "lemon", "confidence": 0.25}],
    "model": {"name": "shop", "version": "2"},
    "request_id": "7",
    "evidence": {"class": "lime", "shape": [1, 2], "values": [1, 2.5], "box": [0, 0, 1, 0.5]},
}


@dataclass(frozen=True)
class Reply:
    """What is answered; ``body`` is JSON unless it is bytes. Status 0: the connection is closed."""

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None  # is called, and waited for, before the answer


@dataclass(frozen=True)
class Sent:
    """What came, and when, in monotonic seconds."""

    moment: float
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass
class Replies:
    """Where the server is, and what it was sent."""

    url: str
    sent: list[Sent]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    replies: Callable[[int], Reply]
    sent: list[Sent]
    lock: threading.Lock

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.lock:
            self.sent.append(Sent(time.monotonic(), self.path, headers, body))
            reply = type(self).replies(len(self.sent) - 1)
        reply.before()
        if not reply.status:
            self.close_connection = True
            return
        answer = reply.body if isinstance(reply.body, bytes) else orjson.dumps(reply.body)
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(answer)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def replying(*replies: Reply) -> Iterator[Replies]:
    """A server that gives ``replies``, and the last of them again and again."""
    with replying_by(lambda number: replies[min(number, len(replies) - 1)]) as server:
        yield server


@contextmanager
def replying_by(choose: Callable[[int], Reply]) -> Iterator[Replies]:
    """A server whose ``choose`` gives the reply to the request of a number, from 0."""
    sent: list[Sent] = []
    told = {"replies": staticmethod(choose), "sent": sent, "lock": threading.Lock()}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), told)) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Replies(f"http://127.0.0.1:{server.server_port}", sent)
        finally:
            server.shutdown()
            thread.join()
