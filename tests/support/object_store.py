"""A store of objects on this machine: what S3, GCS, Azure and a web server do alike.

Each has an object at a path, answers GET with ranges and HEAD, and takes PUT.
"""

import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

MEGABYTE = 1_000_000
DRIPS = 3000  # bytes that come one by one
CHANGED = "Sun, 29 Nov 2026 10:00:00 GMT"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Asked:
    """A request that came: its method and path, the first byte of its range, and who sent it."""

    method: str
    path: str
    start: int
    authorization: str


@dataclass
class ObjectStore:
    """The objects by path, as ``/bucket/shop/manifest.json``, and the faults that a test sets."""

    objects: dict[str, bytes] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)  # of an upload that has not ended
    blocks: dict[str, bytes] = field(default_factory=dict)  # the same, by id, as Azure has it
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0  # bytes of objects
    break_after: int | None = None  # bytes of an answer; then its connection ends
    pause: float = 0  # seconds after each megabyte of an answer whose connection ends
    breaks: int | None = None  # how many answers end so; all of them by default
    ranges: bool = True  # whether it obeys them, or sends an object from its first byte
    etags: bool = True
    status: int | None = None  # of all answers
    claims: dict[str, int] = field(default_factory=dict)  # sizes that HEAD gives, by path
    buckets: set[str] = field(default_factory=lambda: {"bucket"})
    drips: set[str] = field(default_factory=set)  # paths whose objects come byte by byte, a minute
    gate: threading.Event | None = None  # what a GET of a path that ends in `.onnx` waits for
    waiting: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def put_bundle(self, directory: Path, place: str) -> None:
        """Have all files of a bundle at the path ``place``."""
        for path in directory.rglob("*"):
            if path.is_file():
                self.objects[f"{place}/{path.relative_to(directory)}"] = path.read_bytes()

    def paths(self, method: str) -> list[str]:
        """The paths that were asked for by a method, in order."""
        return [each.path for each in self.asked if each.method == method]


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection of the store that its class has."""

    store: ObjectStore
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """The size of an object."""
        path, content = self._find()
        if content is not None:
            self._head(HTTPStatus.OK, self.store.claims.get(path, len(content)))

    def do_GET(self) -> None:
        """An object, or the rest of one, unless the client has gone meanwhile."""
        with suppress(ConnectionError):
            self._get()

    def _get(self) -> None:
        path, content = self._find()
        if content is None:
            return
        if self.store.gate is not None and path.endswith(".onnx"):
            self.store.waiting.set()
            self.store.gate.wait(60)
        start = self._start() if self.store.ranges else 0
        self._head(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK, len(content), start)
        with self.store.lock:
            sent = content[start:][: self.store.break_after if self.store.breaks != 0 else None]
            self.store.sent += len(sent)
            broken = start + len(sent) < len(content)
            if broken and self.store.breaks:
                self.store.breaks -= 1
        if path in self.store.drips:
            self.store.waiting.set()
            for at in range(DRIPS):
                self.wfile.write(sent[at : at + 1])
                time.sleep(60 / DRIPS)
            sent = sent[DRIPS:]
        for piece in range(0, len(sent), MEGABYTE):
            self.wfile.write(sent[piece : piece + MEGABYTE])
            if broken:
                time.sleep(self.store.pause)
        self.close_connection = broken

    def do_PUT(self) -> None:
        """Keep an object."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self._refused():
            return
        query = parse_qs(urlsplit(self.path).query)
        with self.store.lock:
            if "partNumber" in query:
                self.store.parts.append(content)
            elif query.get("comp") == ["block"]:
                self.store.blocks[query["blockid"][0]] = content
            elif query.get("comp") == ["blocklist"]:
                named = [each.text or "" for each in ElementTree.fromstring(content)]
                self.store.objects[self._path()] = b"".join(map(self.store.blocks.pop, named))
            else:
                self.store.objects[self._path()] = content
        azure = "x-ms-version" in self.headers
        self._head(HTTPStatus.CREATED if azure else HTTPStatus.OK, 0)

    def do_POST(self) -> None:
        """Begin or end an upload in parts, which come one after the other, as S3 has it."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self._refused():
            return
        with self.store.lock:
            if "uploadId=" in self.path:
                self.store.objects[self._path()] = b"".join(self.store.parts)
            self.store.parts.clear()
        self._answer(HTTPStatus.OK, "<Upload><UploadId>1</UploadId><ETag>1</ETag></Upload>")

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _find(self) -> tuple[str, bytes | None]:
        path = self._path()
        if self._refused():
            return path, None
        content = self.store.objects.get(path)
        if content is None:
            self._error(HTTPStatus.NOT_FOUND, "NoSuchKey")
        return path, content

    def _refused(self) -> bool:
        """Note the request, and answer it where a fault is set or there is no such bucket."""
        sender = self.headers.get("Authorization", "")
        with self.store.lock:
            self.store.asked.append(Asked(self.command, self._path(), self._start(), sender))
        if self.store.status is not None:
            self._error(self.store.status, "Refused")
            return True
        if not self.store.buckets & set(self._path().split("/")):
            self._error(HTTPStatus.NOT_FOUND, "NoSuchBucket")
            return True
        return False

    def _path(self) -> str:
        return unquote(self.path.partition("?")[0])

    def _start(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])

    def _head(self, status: int, size: int, start: int = 0) -> None:
        self.send_response(status)
        if self.store.etags:
            self.send_header("ETag", '"one"')
        self.send_header("Last-Modified", CHANGED)
        self.send_header("Content-Length", str(size - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code></Error>")

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def object_store(certificate: Path | None = None) -> Iterator[ObjectStore]:
    """A store on 127.0.0.1, with TLS where a ``certificate`` with its key is given."""
    store = ObjectStore()
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    store.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield store
    finally:
        if store.gate is not None:
            store.gate.set()
        server.shutdown()
        server.server_close()
        thread.join(60)


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority of its own, and a certificate with its key for 127.0.0.1."""
    authority = ("-x509", "-days", "2", "-subj", "/CN=Test authority", "-out", "ca.pem")
    _openssl(folder, "req", *NEW_KEY, "-keyout", "ca.key", *authority)
    own = ("-subj", "/CN=127.0.0.1", "-out", "request.pem")
    _openssl(folder, "req", *NEW_KEY, "-keyout", "key.pem", *own)
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    made = ("-extfile", "extensions", "-out", "c.pem")
    _openssl(folder, "x509", "-req", "-in", "request.pem", *signed, *made)
    both = folder / "server.pem"
    both.write_text((folder / "c.pem").read_text() + (folder / "key.pem").read_text())
    return folder / "ca.pem", both


def make_self_signed(folder: Path) -> Path:
    """A certificate with its key for 127.0.0.1 that is its own authority."""
    named = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("-x509", "-days", "2", "-keyout", "alone.pem", "-out", "alone.crt")
    _openssl(folder, "req", *NEW_KEY, *named, *made)
    both = folder / "alone.pem"
    both.write_text((folder / "alone.crt").read_text() + both.read_text())
    return both


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
