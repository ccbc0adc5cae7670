"""Do work on many items side by side, with the results in order and a bounded number ahead."""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2  # items taken for each one in work, so that one slow item stops none behind it

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Iterator[R]:
    """``work(item)`` for each item, in order, computed in ``at_once`` threads."""
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="greengrocer")
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) >= AHEAD * at_once:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


async def in_tasks(
    work: Callable[[T], Awaitable[R]], items: Iterable[T] | AsyncIterable[T], at_once: int
) -> AsyncGenerator[R, None]:
    """The same in tasks of this event loop, of which ``at_once`` work."""
    places = asyncio.Semaphore(at_once)
    ahead: deque[asyncio.Task[R]] = deque()

    async def placed(item: T) -> R:
        async with places:
            return await work(item)

    try:
        async for item in _each(items):
            ahead.append(asyncio.create_task(placed(item)))
            if len(ahead) >= AHEAD * at_once:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def _each(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
