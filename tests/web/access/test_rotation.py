"""Keys are added and removed while a real service runs; its log has their names."""

import json
from pathlib import Path

import pytest

from greengrocer.web.access.keys import add_key, remove_key
from support.servers import Server, StartServer
from support.waiting import until
from support.wire import exchange, head
from support.workers import start_workers


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def status(server: Server, key: str) -> int:
    """What a request with ``key`` gets, on a connection of its own."""
    return exchange(server.url, head("GET", "/class-names", f"Authorization: Bearer {key}")).status


def until_seen(server: Server, key: str, wanted: int) -> None:
    until(lambda: status(server, key) == wanted)


def started(serve: StartServer, bundle: Path, file: Path, *flags: str) -> Server:
    usual = ("--bundle", str(bundle), "--engine", "fake", "--log-format", "json")
    return serve(*usual, "--api-keys", str(file), *flags)


def test_a_key_is_changed_without_a_restart(
    serve: StartServer, fake_bundle: Path, file: Path
) -> None:
    old = add_key(file, "till-1")
    server = started(serve, fake_bundle, file)
    assert status(server, old) == 200
    new = add_key(file, "till-1-new")
    until_seen(server, new, 200)
    assert status(server, old) == 200
    remove_key(file, "till-1")
    until_seen(server, old, 401)
    assert status(server, new) == 200


def test_an_invalid_edit_changes_nothing_and_is_logged_once(
    serve: StartServer, fake_bundle: Path, file: Path
) -> None:
    key = add_key(file, "till-1")
    server = started(serve, fake_bundle, file)
    with file.open("a") as edited:
        edited.write("till-2\n")
    until_refused(server, key, 1)
    file.chmod(0o666)
    until_refused(server, key, 2)
    file.unlink()
    until_refused(server, key, 3)
    another = add_key(file, "till-2")
    until_seen(server, another, 200)
    assert status(server, key) == 401


def until_refused(server: Server, key: str, times: int) -> None:
    """Wait for the line that says so, the only one for this change; ``key`` goes on being known."""

    def told() -> int:
        assert status(server, key) == 200
        return len([line for line in server.log if "keys refused" in line])

    until(lambda: told() >= times)
    assert told() == times


def test_the_log_names_the_key_but_never_shows_it(
    serve: StartServer, fake_bundle: Path, file: Path
) -> None:
    keys = {name: add_key(file, name) for name in ("till-1", "till-2")}
    server = started(serve, fake_bundle, file)
    for key in (*keys.values(), "gg_wrong-one"):
        status(server, key)
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log]
    told = [(line.get("client"), line["status"]) for line in lines if line["event"] == "request"]
    assert told == [("till-1", 200), ("till-2", 200), (None, 401)]
    log = "".join(server.log)
    assert not [key for key in (*keys.values(), "wrong-one") if key in log]


@pytest.mark.accept
def test_a_worker_replaced_after_an_invalid_edit_waits_for_the_next(
    fake_bundle: Path, file: Path
) -> None:
    key = add_key(file, "till-1")
    good = file.read_text()
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--api-keys", str(file))
    workers = start_workers(2, *flags)
    server = workers.server
    try:
        file.write_text("a mistake\n")
        workers.kill(workers.pids("http")[0])
        server.until_logged(lambda: len(workers.serving()) == 3)
        assert {status(server, key) for _ in range(20)} <= {200, 401}
        file.write_text(good)
        until(lambda: [status(server, key) for _ in range(20)] == [200] * 20)
    finally:
        assert server.stop() == 0


@pytest.mark.accept
def test_every_worker_sees_the_change(serve: StartServer, fake_bundle: Path, file: Path) -> None:
    old = add_key(file, "till-1")
    server = started(serve, fake_bundle, file, "--workers", "2")
    new = add_key(file, "till-2")
    remove_key(file, "till-1")
    until(lambda: [status(server, new) for _ in range(20)] == [200] * 20)
    until(lambda: [status(server, old) for _ in range(20)] == [401] * 20)
