import asyncio
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

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


def test_only_the_user_can_reach_the_socket_and_it_goes_at_the_end(path: Path) -> None:
    with control_socket(path):
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert not path.exists()


def test_it_goes_after_a_failure_too(path: Path) -> None:
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


def test_a_directory_that_cannot_be_made_is_refused(path: Path) -> None:
    assert "no such file" in refused(path.parent / "deeper" / path.name)


def test_a_path_too_long_for_a_socket_is_refused(path: Path) -> None:
    assert "too long" in refused(path.with_name("x" * 120))


def test_a_socket_that_nobody_listens_on_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with control_socket(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_that_lives_is_refused_and_stays(path: Path) -> None:
    with control_socket(path):
        assert "a running service uses it" in refused(path)
        assert path.exists()


def test_the_socket_of_a_service_that_is_just_dying_is_removed(
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


def test_a_socket_that_is_just_made_is_not_taken_for_one_that_nobody_listens_on(
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


def test_a_file_that_is_no_socket_is_refused_and_stays(path: Path) -> None:
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


def test_the_usual_path_is_the_users_and_the_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert control_path(9000) == tmp_path / "greengrocer" / "9000.sock"
    for unusable in ("", str(tmp_path / "missing")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", unusable)
        temporary = Path(tempfile.gettempdir(), f"greengrocer-{os.geteuid()}")
        assert control_path(9000) == temporary / "9000.sock"


def test_where_nothing_can_be_written_there_is_no_usual_path(
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
async def test_what_is_no_json_object_is_refused(path: Path, garbage: bytes) -> None:
    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            assert b'"ok":false' in await asyncio.to_thread(said, path, garbage)


@pytest.mark.parametrize("silence", [b"", b"x" * 100_000])
async def test_what_is_no_line_gets_no_answer(path: Path, silence: bytes) -> None:
    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            with suppress(OSError):  # closed while it was sending
                assert await asyncio.to_thread(said, path, silence) == b""
            assert (await asyncio.to_thread(ask, path, {}))["ok"]


async def test_a_client_that_says_nothing_is_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LINE_SECONDS", 0.05)

    def silent() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return client.recv(1)

    with control_socket(path) as listener:
        async with ControlServer(listener, echo):
            assert await asyncio.to_thread(silent) == b""


def test_asking_where_nobody_is_says_so(path: Path) -> None:
    with pytest.raises(ControlRefused, match="is a service running"):
        ask(path, {})


async def test_a_service_that_ends_without_an_answer_is_told(path: Path) -> None:
    async def ends(_: Message) -> Message:
        raise asyncio.CancelledError

    with control_socket(path) as listener:
        async with ControlServer(listener, ends):
            with pytest.raises(ControlRefused, match="without an answer"):
                await asyncio.to_thread(ask, path, {})
