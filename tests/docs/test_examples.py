"""The client examples retry where the service is full, and report refusals."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest

from support.documents import ROOT, needed
from support.make_images import encoded, jpeg, photo
from support.servers import Server

EXAMPLES = ROOT / "docs" / "examples"
RETRY_AFTER = 1  # seconds
IN_NODE = """
import { readFile } from "node:fs/promises";
import { ask } from "./ask.mjs";
const [photo, url] = process.argv.slice(2);
console.log((await ask(new Blob([await readFile(photo)]), url)).answer.name);
"""


class Full(BaseHTTPRequestHandler):
    """Says that it is full, the first time; then it answers."""

    came: list[tuple[float, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((time.monotonic(), body))
        full = len(self.came) == 1
        self.send_response(429 if full else 200)
        if full:
            self.send_header("Retry-After", str(RETRY_AFTER))
        document = {"code": "overloaded"} if full else {"index": 0, "answer": {"name": "Lemon"}}
        answer = orjson.dumps(document)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def full_once() -> Iterator[tuple[str, list[tuple[float, bytes]]]]:
    """A server's address, and the moments and bodies of what came."""
    came: list[tuple[float, bytes]] = []
    handler = type("Handler", (Full,), {"came": came})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()
            thread.join()


def command(example: str, directory: Path, url: str, file: Path, *more: Path) -> list[str]:
    """How to run an example, in a directory of its own; some of them take several images."""
    shutil.copy(EXAMPLES / example, directory)
    match example:
        case "ask.sh":
            needed("curl")
            return ["sh", example, str(file), url]
        case "ask_stdlib.py":
            return [sys.executable, example, str(file), url]
        case "ask_httpx.py" | "ask_batch.py":
            return [sys.executable, example, url, *map(str, (file, *more))]
        case "ask.mjs":
            needed("node")
            (directory / "run.mjs").write_text(IN_NODE)
            return ["node", "run.mjs", str(file), url]
    raise AssertionError(example)


def run(example: str, directory: Path, picture: bytes, url: str) -> tuple[int, str]:
    """Its exit code for one image, and all that it printed."""
    (directory / "photo.jpg").write_bytes(picture)
    return run_for(example, directory, url, directory / "photo.jpg")


def run_for(example: str, directory: Path, url: str, *files: Path) -> tuple[int, str]:
    """Its exit code for ``files``, and all that it printed."""
    done = subprocess.run(
        command(example, directory, url, *files),
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout


every_example = pytest.mark.parametrize(
    "example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_file())
)


@pytest.mark.accept
@every_example
def test_an_example_retries_after_the_retry_after(example: str, tmp_path: Path) -> None:
    picture = encoded(photo(1), "JPEG")
    with full_once() as (url, came):
        code, printed = run(example, tmp_path, picture, url)
    assert (code, "Lemon" in printed) == (0, True), printed
    (first, whole), (second, again) = came
    assert picture in whole
    assert picture in again
    assert second - first >= 0.9 * RETRY_AFTER


@every_example
def test_an_example_fails_on_a_refusal(example: str, tmp_path: Path, fake_server: Server) -> None:
    code, printed = run(example, tmp_path, b"no image", fake_server.url)
    assert code != 0
    assert "unreadable-image" in printed or "400" in printed


@pytest.mark.parametrize("example", ["ask_httpx.py", "ask_batch.py"])
def test_a_bad_photo_does_not_cost_the_answers_for_others(
    example: str, tmp_path: Path, fake_server: Server
) -> None:
    first, bad, missing, last = (tmp_path / f"{name}.jpg" for name in ("a", "b", "c", "d"))
    first.write_bytes(jpeg(89))
    bad.write_bytes(b"no image")
    last.write_bytes(jpeg(191))
    code, printed = run_for(example, tmp_path, fake_server.url, first, bad, missing, last)
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert code == 1, printed
    assert (lines[str(first)], lines[str(last)]) == ("grey-3", "grey-7")
    assert lines[str(bad)].startswith("unreadable-image: the file is not an image")
    assert "No such file or directory" in lines[str(missing)]
    assert len(lines) == 4


def test_a_shell_sends_a_photo_of_any_name(tmp_path: Path, fake_server: Server) -> None:
    for name in ("a;b.jpg", "a,b.jpg", 'a"b\\c.jpg', "a b'.jpg"):
        (tmp_path / name).write_bytes(jpeg(89))
        code, printed = run_for("ask.sh", tmp_path, fake_server.url, tmp_path / name)
        assert (code, "grey-3" in printed) == (0, True), printed
    code, printed = run_for("ask.sh", tmp_path, fake_server.url, tmp_path / "none.jpg")
    assert code != 0
    assert "none.jpg: No such file" in printed
