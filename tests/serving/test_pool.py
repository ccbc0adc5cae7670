"""The thread pool: results, errors, cancelled calls and closing."""

import asyncio
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from greengrocer.serving.pool import Pool
from support.waiting import SECONDS


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(1, "test")
    yield pool
    assert pool.close(SECONDS)


@pytest.mark.anyio
async def test_results_are_returned_to_the_event_loop(pool: Pool) -> None:
    found = await asyncio.gather(*(pool.submit(partial(pow, n, 2)) for n in range(100)))
    assert found == [n * n for n in range(100)]


@pytest.mark.anyio
async def test_an_error_is_raised_to_the_caller_and_the_thread_survives(pool: Pool) -> None:
    def fail() -> int:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await pool.submit(fail)
    assert await pool.submit(lambda: 1) == 1


@pytest.mark.anyio
async def test_a_call_cancelled_in_the_queue_is_not_started(pool: Pool) -> None:
    held = threading.Event()
    begun: list[str] = []

    first = pool.submit(lambda: held.wait(SECONDS))
    second = pool.submit(lambda: begun.append("second"))
    third = pool.submit(lambda: begun.append("third"))
    second.cancel()
    held.set()
    assert await first
    await third
    assert begun == ["third"]


def test_closing_finishes_submitted_calls() -> None:
    pool = Pool(2, "test")
    done: list[int] = []

    async def submit() -> None:
        for number in range(20):
            pool.submit(partial(done.append, number))

    # a loop of its own: it is closed while the functions run, and nothing fails
    asyncio.run(submit())
    assert pool.close(SECONDS)
    assert sorted(done) == list(range(20))
