"""Read-only file systems: neither the home nor the temporary directory is writable."""

from pathlib import Path

import pytest

from support.commands import mistake, run
from support.make_images import jpeg
from support.mounts import READ_ONLY, python_that_sees, small_disk
from support.servers import StartServer
from support.wire import exchange, head, post
from support.workers import start_workers

NOWHERE = {"XDG_RUNTIME_DIR": "", "TMPDIR": ""}


def test_one_process_needs_no_writable_directory(
    tmp_path: Path, serve: StartServer, fake_bundle: Path
) -> None:
    python = python_that_sees(tmp_path, READ_ONLY)
    flags = ("--engine", "fake", "--bundle", str(fake_bundle))
    server = serve(*flags, python=python, **NOWHERE)
    for request in (post(jpeg(250)), head("GET", "/random-image"), head("GET", "/metrics")):
        assert exchange(server.url, request).status == 200
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.log)


def test_the_shipped_bundle_needs_no_writable_directory(
    tmp_path: Path, serve: StartServer, grocery_bundle: Path
) -> None:
    python = python_that_sees(tmp_path, READ_ONLY)
    server = serve("--bundle", str(grocery_bundle), python=python, **NOWHERE)
    assert exchange(server.url, post(jpeg(250))).status == 200


def test_workers_without_a_writable_directory_are_refused(
    tmp_path: Path, fake_bundle: Path
) -> None:
    flags = ["--port", "0", "--engine", "fake", "--bundle", str(fake_bundle)]
    python = python_that_sees(tmp_path, READ_ONLY)
    line = mistake(run("serve", "--workers", "1", *flags, python=python, environment=NOWHERE))
    assert "--workers needs a directory to write to, which TMPDIR may name" in line


def test_workers_with_too_long_a_directory_are_refused(
    tmp_path: Path, runtime: Path, fake_bundle: Path
) -> None:
    place = tmp_path / ("x" * 100)
    place.mkdir()
    flags = ["--port", "0", "--engine", "fake", "--bundle", str(fake_bundle)]
    environment = {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(place)}
    line = mistake(run("serve", "--workers", "1", *flags, environment=environment))
    assert "have TMPDIR name one of at most 70 bytes" in line
    assert not [*place.iterdir()]


def test_workers_use_the_directory_that_tmpdir_names(
    tmp_path: Path, short_path: Path, fake_bundle: Path
) -> None:
    place = short_path / "place"
    place.mkdir()
    python = python_that_sees(tmp_path, READ_ONLY, small_disk(place, 8000))
    flags = ("--engine", "fake", "--bundle", str(fake_bundle))
    environment = {**NOWHERE, "TMPDIR": str(place)}
    workers = start_workers(1, *flags, python=python, environment=environment)
    try:
        assert exchange(workers.url, post(jpeg(250))).status == 200
        assert workers.directory.parent == place
    finally:
        assert workers.server.stop() == 0


@pytest.mark.parametrize("command", ["predict", "info"])
def test_predict_and_info_need_no_writable_directory(
    tmp_path: Path, grocery_bundle: Path, command: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(100))
    pictures = [str(tmp_path / "a.jpg")] if command == "predict" else []
    python = python_that_sees(tmp_path, READ_ONLY)
    flags = ["--bundle", str(grocery_bundle)]
    done = run(command, *pictures, *flags, python=python, environment=NOWHERE)
    assert (done.returncode, done.stderr) == (0, "")
