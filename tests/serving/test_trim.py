"""Free memory is returned when a process becomes idle, not at intervals."""

import asyncio

import pytest

from greengrocer.serving import memory
from greengrocer.serving.memory import ENGINE_TRIMS_AFTER, Trim


@pytest.mark.anyio
async def test_memory_is_returned_when_idle_after_large_uploads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    returned, dropped = 0, []
    working = True
    done = asyncio.Event()

    def note() -> None:
        nonlocal returned
        returned += 1
        done.set()

    def busy() -> bool:
        nonlocal working
        was, working = working, False
        return was

    monkeypatch.setattr(memory, "QUIET_SECONDS", 0.01)
    monkeypatch.setattr(memory, "return_free_pages", note)
    trim = Trim(busy, ENGINE_TRIMS_AFTER, lambda: dropped.append(returned))
    trim.received(ENGINE_TRIMS_AFTER - 1)
    assert not trim._waits
    trim.received(1)
    trim.received(1)
    assert trim._waits
    await asyncio.wait_for(done.wait(), 60)
    assert not working  # it waited for the work to end
    trim.received(ENGINE_TRIMS_AFTER - 1)
    assert not trim._waits  # no timer runs
    assert returned == 1
    assert dropped == [0]  # what the process keeps goes first
