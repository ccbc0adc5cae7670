"""Turns to receive messages: how long they last, who is next, and what a refusal says."""

import asyncio
import math
import time

import pytest

from greengrocer.errors import DeadlineExceeded, Overloaded, SlowUpload
from greengrocer.rpc.turns import HASTE_SECONDS, HASTY_WAITING, Turns
from support.waiting import SECONDS

pytestmark = pytest.mark.anyio


async def message() -> bytes:
    """A message that has come with its call."""
    return b"message"


async def nothing() -> bytes:
    """A message that never comes."""
    await asyncio.Event().wait()
    return b""


async def begun(turns: Turns, count: int = 1) -> "list[asyncio.Task[bytes]]":
    """So many silent calls, each of which has a turn or waits for one."""
    calls = [asyncio.create_task(turns.receive(nothing, math.inf)) for _ in range(count)]
    await asyncio.sleep(0)
    return calls


async def ends(*calls: "asyncio.Task[bytes]") -> list[type[BaseException]]:
    """The errors with which calls end."""
    return [type(error) for error in await asyncio.gather(*calls, return_exceptions=True)]  # type: ignore[misc]


async def test_a_turn_in_which_nothing_comes_is_a_slow_upload_and_ends() -> None:
    turns = Turns(1, 0.05)
    assert await ends(*await begun(turns)) == [SlowUpload]
    assert await turns.receive(message, math.inf) == b"message"


async def test_a_wait_for_a_turn_is_no_slow_upload() -> None:
    turns = Turns(1, SECONDS)

    async def long() -> bytes:
        await done.wait()
        return b"long"

    done = asyncio.Event()
    ahead = asyncio.create_task(turns.receive(long, math.inf))
    await asyncio.sleep(0)
    turns._seconds = 0.05
    with pytest.raises(Overloaded) as refused:
        await turns.receive(message, math.inf)
    assert refused.value.retry_after == 1
    with pytest.raises(DeadlineExceeded):
        await turns.receive(message, time.monotonic() + 0.01)
    done.set()
    assert await ahead == b"long"
    assert await turns.receive(message, math.inf) == b"message"


async def test_a_deadline_counts_while_a_message_comes() -> None:
    turns = Turns(1, SECONDS)
    with pytest.raises(DeadlineExceeded):
        await turns.receive(nothing, time.monotonic() + 0.01)
    assert await turns.receive(message, math.inf) == b"message"


async def test_short_turns_in_which_nothing_comes_end_for_a_call_that_sends() -> None:
    turns = Turns(2, SECONDS, short=True)
    calls = await begun(turns, 10)
    assert await turns.receive(message, math.inf) == b"message"  # before those that came earlier
    assert not all(call.done() for call in calls)
    done: set[asyncio.Task[bytes]] = set()
    while len(done) < 8:
        done, pending = await asyncio.wait(calls, timeout=HASTE_SECONDS)
    assert set(await ends(*done)) == {Overloaded}
    for call in pending:
        call.cancel()


async def test_the_oldest_of_too_many_that_wait_is_given_up() -> None:
    turns = Turns(1, SECONDS, short=True)
    first, oldest, *others = await begun(turns, HASTY_WAITING + 2)
    assert await ends(oldest) == [Overloaded]
    assert not any(call.done() for call in others)
    for call in (first, *others):
        call.cancel()


async def test_a_turn_of_a_call_that_is_cancelled_is_passed_on() -> None:
    turns = Turns(1, SECONDS)
    first, second, third = await begun(turns, 3)
    second.cancel()
    first.cancel()
    await asyncio.sleep(0)
    third.cancel()  # its turn has come, and it does not know yet
    assert await ends(first, second, third) == [asyncio.CancelledError] * 3
    assert await turns.receive(message, math.inf) == b"message"
