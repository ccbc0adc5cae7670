"""The pool: results and errors come back, what nobody waits for is not begun, closing finishes."""

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
    pool.close()


@pytest.mark.anyio
async def test_results_come_back_to_the_loop(pool: Pool) -> None:
    found = await asyncio.gather(*(pool.submit(partial(pow, n, 2)) for n in range(100)))
    assert found == [n * n for n in range(100)]


@pytest.mark.anyio
async def test_an_error_is_the_callers_and_the_thread_works_on(pool: Pool) -> None:
    def fail() -> int:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await pool.submit(fail)
    assert await pool.submit(lambda: 1) == 1


@pytest.mark.anyio
async def test_what_was_cancelled_in_the_queue_is_not_begun(pool: Pool) -> None:
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


def test_closing_finishes_what_was_submitted() -> None:
    pool = Pool(2, "test")
    done: list[int] = []

    async def submit() -> None:
        for number in range(20):
            pool.submit(partial(done.append, number))

    # a loop of its own: it is closed while the functions run, and nothing fails
    asyncio.run(submit())
    pool.close()
    assert sorted(done) == list(range(20))
