"""Wait for a library whose calls no signal can interrupt."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def interruptible(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. A signal ends the wait for it, although it runs native code.

    Its thread ends with the process.
    """
    return _begun(work).result()


async def cancellable(work: Callable[[], T]) -> T:
    """The same on an event loop: to cancel ends the wait, and the loop's end waits for nothing."""
    return await asyncio.wrap_future(_begun(work))


def _begun(work: Callable[[], T]) -> Future[T]:
    """What ``work`` will have returned or raised, which runs in a thread that nothing joins."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from now on it takes a result, although nobody waits

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="store", daemon=True).start()
    return done
