"""A data set of a few bytes, archives of it, and an HTTP server that a test controls."""

import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

FILES = {
    "LICENSE": b"MIT",
    "README.md": b"# Groceries",
    "dataset/classes.csv": b"Class Name,Class ID\n",
    "dataset/test.txt": b"test/Kiwi/Kiwi_1.jpg, 0, 0\n",
    "dataset/test/Kiwi/Kiwi_1.jpg": b"test kiwi",
    "dataset/train.txt": b"train/Kiwi/Kiwi_2.jpg, 0, 0\n",
    "dataset/train/Kiwi/Kiwi_2.jpg": bytes(range(256)) * 40,
}


@pytest.fixture
def files() -> dict[str, bytes]:
    """Each listed file's content."""
    return dict(FILES)


@pytest.fixture
def listing() -> dict[str, str]:
    """The list of them."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """Where to download to: nothing is there yet, and nothing beside it."""
    return tmp_path / "home" / "groceries"


def tar_of(files: dict[str, bytes], folder: str = "GroceryStoreDataset-abc/") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(folder + path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    # Level 0: the parts of an archive that a connection brings are then predictably long.
    return gzip.compress(packed.getvalue(), compresslevel=0)


def zip_of(files: dict[str, bytes], folder: str = "GroceryStoreDataset-abc/") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(folder + path, content)
    return packed.getvalue()


@pytest.fixture(params=["tar", "zip"])
def pack(request: pytest.FixtureRequest) -> Callable[..., bytes]:
    """Either packer: files, and the folder they are in, to an archive's bytes."""
    return tar_of if request.param == "tar" else zip_of


@pytest.fixture
def pack_tar() -> Callable[..., bytes]:
    """The .tar.gz packer."""
    return tar_of


class Server:
    """Serves ``content`` on 127.0.0.1. Each request takes a word off ``script``, else "serve".

    "serve": as asked, ranges included. "drop": the same, ending halfway. "ignore": all of it,
    whatever was asked. "elsewhere": a range that was not asked for. "redirect": to another path.
    A number: that status.
    """

    def __init__(self) -> None:
        self.content = tar_of(FILES)
        self.etag: str | None = '"first"'
        self.script: list[str] = []
        self.asked: list[dict[str, str]] = []
        self.sent: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/archive"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append({name.lower(): value for name, value in handler.headers.items()})
        word = self.script.pop(0) if self.script else "serve"
        if word.isdecimal():
            handler.send_error(int(word))
        elif word == "redirect":
            handler.send_response(302)
            handler.send_header("Location", "/moved")
            handler.end_headers()
        else:
            self.send(handler, word)

    def send(self, handler: BaseHTTPRequestHandler, word: str) -> None:
        wanted = self.asked[-1].get("range", "")
        fresh = self.asked[-1].get("if-range", self.etag) == self.etag
        start = int(wanted[len("bytes=") : -1]) if wanted and fresh and word != "ignore" else 0
        start += word == "elsewhere"
        partial = start > 0
        body = self.content[start:]
        handler.send_response(206 if partial else 200)
        if partial:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        if self.etag:
            handler.send_header("ETag", self.etag)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: len(body) // 2] if word == "drop" else body
        self.sent.append(len(body))
        handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that runs, reached without a proxy; attempts follow each other at once."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("greengrocer.datasets.fetch.PAUSES", (0, 0, 0, 0))
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()
