"""Waiting for a library whose own threads call Python."""

import asyncio
import threading
import time

import pytest

from greengrocer.stores.interruptible import answer_of


def test_an_answer_is_there_once_the_librarys_thread_has_left_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python aborts the process where it ends such a thread, as it does when it ends itself."""
    wake = asyncio.SelectorEventLoop._write_to_self  # type: ignore[attr-defined]
    left = []

    def wake_slowly(loop: asyncio.AbstractEventLoop) -> None:
        wake(loop)
        if threading.current_thread().name == "library":
            time.sleep(0.2)  # the loop has the answer meanwhile
            left.append(True)

    async def ask() -> str:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[str] = loop.create_future()

        def tell() -> None:
            loop.call_soon_threadsafe(answer.set_result, "answer")

        threading.Thread(target=tell, name="library").start()
        return await answer

    monkeypatch.setattr(asyncio.SelectorEventLoop, "_write_to_self", wake_slowly)
    assert answer_of(ask, 60) == "answer"
    assert left
