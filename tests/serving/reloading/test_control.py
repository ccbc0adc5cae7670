import asyncio
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.errors import ControlRefused
from greengrocer.serving.reloading import control
from greengrocer.serving.reloading.control import (
    ControlServer,
    Message,
    ask,
    control_path,
    control_socket,
    remove_stale,
)
from greengrocer.stores.interruptible import cancellable

pytestmark = pytest.mark.anyio


@pytest.fixture
def path() -> Iterator[Path]:
    """A short path, for a socket's address has no room for pytest's directories."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "private", "control.sock")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def refused(path: Path) -> str:
    with pytest.raises(ControlRefused) as error, control_socket(path):
        pass
    assert "\n" not in str(error.value)
    assert str(path.parent) in str(error.value)
    return str(error.value)


def test_the_socket_is_private_and_removed_at_the_end(path: Path) -> None:
    with control_socket(path):
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert not path.exists()


def test_the_socket_is_removed_after_a_failure_too(path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), control_socket(path):
        raise KeyboardInterrupt
    assert not path.exists()


@pytest.mark.parametrize("open_to", [0o750, 0o705, 0o777])
def test_a_directory_that_others_may_enter_is_refused(path: Path, open_to: int) -> None:
    path.parent.mkdir()
    path.parent.chmod(open_to)
    assert "0700" in refused(path)
    assert not path.exists()


def test_a_directory_of_another_user_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert "others cannot enter" in refused(path)


def test_a_link_to_a_directory_is_refused(path: Path) -> None:
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    path.parent.symlink_to(elsewhere)
    assert "others cannot enter" in refused(path)


def test_a_directory_that_cannot_be_created_is_refused(path: Path) -> None:
    assert "no such file" in refused(path.parent / "deeper" / path.name)


def test_a_path_too_long_for_a_socket_is_refused(path: Path) -> None:
    assert "too long" in refused(path.with_name("x" * 120))


def test_a_stale_socket_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with control_socket(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_in_use_is_refused_and_kept(path: Path) -> None:
    with control_socket(path):
        assert "a running service uses it" in refused(path)
        assert path.exists()


def test_the_socket_of_an_exiting_service_is_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DYING_SECONDS", 60.0)
    path.parent.mkdir(mode=0o700)
    with ThreadPoolExecutor() as pool, socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(path))
        dying.listen()
        removed = pool.submit(remove_stale, path)
        asked, _ = dying.accept()
        asked.close()
        removed.result()
    assert not path.exists()


def test_a_new_socket_is_not_mistaken_for_a_stale_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "DYING_SECONDS", 0.001)
    made = threading.Event()

    def remove() -> None:
        while not made.is_set():
            with suppress(ControlRefused):
                remove_stale(path)

    with ThreadPoolExecutor() as pool:
        removing = pool.submit(remove)
        try:
            for _ in range(500):
                with control_socket(path):
                    assert path.exists()
        finally:
            made.set()
        removing.result()


def test_a_file_that_is_no_socket_is_refused_and_kept(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    assert "not a socket" in refused(path)
    assert path.read_text() == "precious"


def test_a_successors_socket_is_not_removed(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as successor:
        with control_socket(path):
            path.unlink()
            successor.bind(str(path))
        assert path.exists()


def test_the_default_path_depends_on_user_and_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert control_path(9000) == tmp_path / "greengrocer" / "9000.sock"
    for unusable in ("", str(tmp_path / "missing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        temporary = Path(tempfile.gettempdir(), f"greengrocer-{os.geteuid()}")
        assert control_path(9000) == temporary / "9000.sock"


def test_without_a_writable_directory_there_is_no_default_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert control_path(9000) is None


async def echo(message: Message) -> Message:
    return {"ok": True, "told": message}


def said(path: Path, sent: bytes) -> bytes:
    """What is answered to raw bytes, after which the client sends no more."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answers:
            return answers.read()


async def test_a_line_is_answered_by_a_line(path: Path) -> None:
    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            order = {"order": "reload", "bundle": "Gem\u00fcse"}
            for _ in range(2):
                assert await asyncio.to_thread(ask, path, order) == {"ok": True, "told": order}
            assert await asyncio.to_thread(said, path, b'{"a": 1}') == (
                b'{"ok":true,"told":{"a":1}}\n'
            )


@pytest.mark.parametrize("garbage", [b"reload\n", b"[1]\n", b"\xff\n", b"[" * 50_000 + b"\n"])
async def test_a_line_that_is_no_json_object_is_refused(path: Path, garbage: bytes) -> None:
    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            assert b'"ok":false' in await asyncio.to_thread(said, path, garbage)


@pytest.mark.parametrize("silence", [b"", b"x" * 100_000])
async def test_an_incomplete_or_too_long_line_gets_no_answer(path: Path, silence: bytes) -> None:
    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            with suppress(OSError):  # closed while it was sending
                assert await asyncio.to_thread(said, path, silence) == b""
            assert (await asyncio.to_thread(ask, path, {}))["ok"]


async def test_a_silent_client_is_disconnected(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LINE_SECONDS", 0.05)

    def silent() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return client.recv(1)

    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            assert await asyncio.to_thread(silent) == b""


async def test_an_error_of_an_order_is_answered_and_logged_by_our_log(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(message: Message) -> Message:
        if message["order"] == "answer":
            return {"ok": object()}  # which is no JSON
        raise RuntimeError("a mistake")

    with control_socket(path) as listener, capture_logs() as logged:
        async with ControlServer(listener, fails):
            answers = [await asyncio.to_thread(ask, path, {"order": n}) for n in ("answer", "x")]
    assert answers == [{"ok": False, "error": answers[0]["error"]}] * 2
    assert "its log has the error" in answers[0]["error"]
    assert [(line["event"], line["order"]) for line in logged] == [
        ("order failed", "answer"),
        ("order failed", "x"),
    ]
    assert all(line["exc_info"] for line in logged)
    assert not caplog.records


@pytest.mark.parametrize(
    ("fetches", "closed", "broken_off"),
    [(True, True, True), (True, False, False), (False, True, False)],
    ids=["it fetches", "the client only sends no more", "it is further than that"],
)
async def test_an_order_whose_client_has_left_is_broken_off_while_it_fetches(
    fetches: bool, closed: bool, broken_off: bool
) -> None:
    release = threading.Event()
    wait = partial(release.wait, 60)
    order = asyncio.create_task(cancellable(wait) if fetches else asyncio.to_thread(wait))
    await asyncio.sleep(0)  # it waits now
    client, ours = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    with client:
        client.close() if closed else client.shutdown(socket.SHUT_WR)
        await control._break_off_if_left(order, reader, writer)
        await asyncio.sleep(0)
        release.set()
        await asyncio.wait({order})
    writer.close()
    assert order.cancelled() == broken_off


async def test_the_server_breaks_off_the_order_of_a_client_that_has_left(path: Path) -> None:
    began, broken_off = asyncio.Event(), asyncio.Event()
    release = threading.Event()

    async def fetch(_: Message) -> Message:
        began.set()
        try:
            return {"ok": await cancellable(partial(release.wait, 60))}
        except asyncio.CancelledError:
            broken_off.set()
            raise

    with control_socket(path) as listener:
        async with ControlServer(listener, fetch):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(b"{}\n")
                await began.wait()
            async with asyncio.timeout(60):
                await broken_off.wait()
            release.set()


async def test_another_server_at_the_path_is_told_from_one_that_ends(path: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"hello\n")
        writer.close()

    with control_socket(path) as listener:
        async with await asyncio.start_unix_server(other, sock=listener):
            with pytest.raises(ControlRefused, match="is not greengrocer"):
                await asyncio.to_thread(ask, path, {})


def test_asking_without_a_running_service_is_refused(path: Path) -> None:
    with pytest.raises(ControlRefused, match="is a service running"):
        ask(path, {})


async def test_a_service_that_ends_without_an_answer_is_reported(path: Path) -> None:
    async def ends(_: Message) -> Message:
        raise asyncio.CancelledError

    with control_socket(path) as listener:
        async with ControlServer(listener, ends):
            with pytest.raises(ControlRefused, match="without an answer"):
                await asyncio.to_thread(ask, path, {})
