"""Pools of threads: for an event loop, and for a command that works through a list of items."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from greengrocer.tracebacks import release_frames

AHEAD = 4  # items for each thread that may be in work before their turn

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``work(item)`` for each item, in order, computed on ``threads`` a few items ahead."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")
    ahead: deque[Future[R]] = deque()
    try:
        for item in items:
            ahead.append(pool.submit(work, item))
            if len(ahead) > AHEAD * threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Pool:
    """Runs functions in threads; their results are futures of the caller's event loop.

    It takes half the time of ``loop.run_in_executor``, which makes a second future with a lock for
    each call and chains the two (docs/decisions/009).
    """

    def __init__(self, threads: int, name: str) -> None:
        # of each thread, one more when a job begins and when it ends: odd while it works
        self.turns = [0] * threads
        self.submitted: Callable[[], object] = lambda: None  # called with each job
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"{name}-{number}", daemon=True
            )
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """The future result. A function is not called once its future is done or cancelled."""
        job = _Job(asyncio.get_running_loop().create_future(), function)
        self._jobs.put(job)
        self.submitted()
        return job.future

    def close(self, seconds: float) -> bool:
        """Accept no more and finish what was submitted; whether that was done in ``seconds``."""
        for _ in self._threads:
            self._jobs.put(None)
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self, number: int) -> None:
        while job := self._jobs.get():
            if not job.future.done():
                self.turns[number] += 1
                job.run()
                self.turns[number] += 1
            del job  # or its image would stay in memory until the next one arrives


class _Job(Generic[T]):
    """A function, and the future that waits for it."""

    __slots__ = ("_error", "_function", "_result", "future")

    def __init__(self, future: "asyncio.Future[T]", function: Callable[[], T]) -> None:
        self.future = future
        self._function = function
        self._result: T
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call the function in this thread, and have the loop settle the future."""
        try:
            self._result = self._function()
        except BaseException as error:  # of any kind: the caller waits for it
            release_frames(error)
            self._error = error
        with suppress(RuntimeError):  # the loop is closed: no caller waits
            self.future.get_loop().call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self.future.done():
            return
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)
