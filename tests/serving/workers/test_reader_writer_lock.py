import asyncio
import random

import pytest

from greengrocer.serving.workers.reader_writer_lock import ReaderWriterLock

pytestmark = pytest.mark.anyio


async def test_many_readers_or_one_writer_hold_the_lock() -> None:
    lock = ReaderWriterLock()
    inside: list[str] = []
    worst = 0
    chance = random.Random(5)

    async def enter(alone: bool) -> None:
        nonlocal worst
        async with lock.exclusive() if alone else lock.shared():
            inside.append("alone" if alone else "together")
            worst = max(worst, len(inside))
            try:
                assert inside == ["alone"] or "alone" not in inside
                for _ in range(chance.randrange(4)):
                    await asyncio.sleep(0)
            finally:
                inside.remove("alone" if alone else "together")

    tasks = [asyncio.create_task(enter(chance.random() < 0.2)) for _ in range(300)]
    for task in tasks[::7]:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait(tasks)
    assert not [task for task in tasks if not task.cancelled() and task.exception()]
    assert worst > 1
    async with asyncio.timeout(60), lock.exclusive():
        assert not inside


async def test_a_waiting_writer_goes_before_later_readers() -> None:
    lock = ReaderWriterLock()
    order: list[str] = []
    first_in, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        async with lock.shared():
            first_in.set()
            await go_on.wait()
            order.append("first")

    async def enter(name: str, alone: bool) -> None:
        async with lock.exclusive() if alone else lock.shared():
            order.append(name)

    tasks = [asyncio.create_task(first())]
    await first_in.wait()
    tasks += [
        asyncio.create_task(enter("suspect", True)),
        asyncio.create_task(enter("later", False)),
    ]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(*tasks)
    assert order == ["first", "suspect", "later"]


async def test_an_error_inside_releases_the_lock() -> None:
    lock = ReaderWriterLock()
    with pytest.raises(ZeroDivisionError):
        async with lock.exclusive():
            raise ZeroDivisionError
    async with asyncio.timeout(60), lock.shared():
        pass


@pytest.mark.parametrize("alone", [True, False], ids=["exclusive", "shared"])
async def test_waiters_that_are_cancelled_together_with_the_holder_leave_the_lock_free(
    alone: bool,
) -> None:
    lock = ReaderWriterLock()
    inside = asyncio.Event()

    async def hold() -> None:
        async with lock.exclusive():
            inside.set()
            await asyncio.Event().wait()

    async def enter() -> None:
        async with lock.exclusive() if alone else lock.shared():
            pass

    holder = asyncio.create_task(hold())
    await inside.wait()
    waiters = [asyncio.create_task(enter()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in (holder, *waiters):
        task.cancel()
    ended = await asyncio.gather(holder, *waiters, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 4
    async with asyncio.timeout(60), lock.exclusive():
        pass
