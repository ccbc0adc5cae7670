"""When free memory is returned: once a process is at rest again, and never by the clock."""

import asyncio

import pytest

from greengrocer.serving import memory
from greengrocer.serving.memory import MUCH, Trim


def test_memory_is_returned_at_rest_after_much_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    returned = 0
    working = True

    async def check() -> None:
        done = asyncio.Event()

        def note() -> None:
            nonlocal returned
            returned += 1
            done.set()

        def busy() -> bool:
            nonlocal working
            was, working = working, False
            return was

        monkeypatch.setattr(memory, "QUIET", 0.01)
        monkeypatch.setattr(memory, "return_free_pages", note)
        trim = Trim(busy)
        trim.received(MUCH - 1)
        assert not trim._waits
        trim.received(1)
        trim.received(1)
        assert trim._waits
        await asyncio.wait_for(done.wait(), 60)
        assert not working  # it was waited for
        trim.received(MUCH - 1)
        assert not trim._waits  # nothing wakes it

    asyncio.run(check())
    assert returned == 1
