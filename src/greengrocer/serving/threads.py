"""How the processors are shared out: among images side by side, and within one of them."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from greengrocer.engines.engine import Threads
from greengrocer.errors import UsageError
from greengrocer.serving.processors import usable_processors

ENGINE_THREADS = "ORT_INTRA_OP_NUM_THREADS"
AHEAD = 4  # images a thread that may be worked on before their turn
MOST_ALONE = 4  # a small network cuts into no more; not measured beyond two

T = TypeVar("T")
R = TypeVar("R")


def engine_threads() -> Threads:
    """The engine's own threads for one run; the environment may give one number for all.

    Images run side by side, each on a thread: that does more of them than all threads on one
    image. One that is alone has the other processors idle, so it gets them. Raises UsageError.
    """
    text = os.environ.get(ENGINE_THREADS)
    if text is None:
        return Threads(each=1, alone=min(MOST_ALONE, usable_processors()))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 1024):
        raise UsageError(
            f"{ENGINE_THREADS} is {text!r}: set it to a number of threads from 1 to 1024, or not"
        )
    return Threads(int(text), int(text))


def picture_threads(largest_batch: int = 1, processors: int | None = None) -> int:
    """Images worked on at once, so that all processors are busy; raises UsageError.

    ``processors`` are those that are usable, unless it is another process that is asked for.

    An image keeps its thread while it waits for a batch. So that the processors have work while
    one batch runs and the next gathers, there are threads for both batches besides.
    """
    side_by_side = max(1, (processors or usable_processors()) // engine_threads().each)
    return side_by_side if largest_batch == 1 else side_by_side + 2 * largest_batch


def side_by_side(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """``work(item)`` for each item, in order, on ``threads`` that are only a little ahead."""
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
