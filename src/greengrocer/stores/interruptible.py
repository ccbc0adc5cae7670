"""Wait for a library whose calls no signal can interrupt."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def interruptible(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. A signal ends the wait for it, although it runs native code.

    Its thread ends with the process.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="store", daemon=True).start()
    return done.result()
