"""Wait for a library whose calls no signal can interrupt, and tell its thread to stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextvars import Context
from threading import Event, RLock, Thread, local
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LOOK = 0.2  # seconds between two looks of a thread that waits: does anybody want its result?

_thread = local()  # its `unwanted` is set once nobody waits for the work of this thread
_waiting: set[asyncio.Task[Any]] = set()  # those inside `cancellable`


def interruptible(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises. A signal ends the wait for it, although it runs native code.

    Its thread ends with the process, or where it calls ``pause`` or ``answer_of`` next.
    """
    if hasattr(_thread, "unwanted"):  # a thread of some work: no signal comes here
        return work()
    done, unwanted = _begun(work)
    try:
        return done.result()
    finally:
        unwanted.set()


async def cancellable(work: Callable[[], T]) -> T:
    """The same on an event loop: to cancel ends the wait, and the loop's end waits for nothing."""
    done, unwanted = _begun(work)
    task = asyncio.current_task()
    assert task is not None
    _waiting.add(task)
    try:
        return await asyncio.wrap_future(done)
    finally:
        _waiting.discard(task)
        unwanted.set()


def break_off(task: asyncio.Task[Any]) -> None:
    """Cancel a task inside ``cancellable``; one that does anything else goes on."""
    if task in _waiting:
        task.cancel()


def pause(seconds: float = 0.0) -> None:
    """Wait in the thread of some work. Raises CancelledError where nobody wants that any more."""
    unwanted: Event | None = getattr(_thread, "unwanted", None)
    if unwanted is None:
        time.sleep(seconds)
    elif unwanted.wait(seconds):
        raise CancelledError


def answer_of(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What a library's coroutine returns or raises, in the thread of some work.

    It is cancelled, with a TimeoutError, after so many seconds, and with a CancelledError where
    nobody wants the work any more.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        try:
            return runner.run(_answer_of(call, time.monotonic() + seconds))
        finally:
            assert isinstance(loop, _Loop)
            with loop.telling:
                pass


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that knows whether a library's thread is still telling it an answer.

    The answer may be here before that thread is back from Python. If the interpreter ended now, it
    would end the thread inside the library, and that aborts the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.telling = RLock()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, with ``telling`` held."""
        with self.telling:
            return super().call_soon_threadsafe(callback, *args, context=context)


async def _answer_of(call: Callable[[], Awaitable[T]], end: float) -> T:
    answer = asyncio.ensure_future(call())
    try:
        while not (await asyncio.wait({answer}, timeout=LOOK))[0]:
            pause()
            if time.monotonic() > end:
                raise TimeoutError
        return answer.result()
    finally:
        answer.cancel()


def _begun(work: Callable[[], T]) -> tuple[Future[T], Event]:
    """What ``work`` will have returned or raised, which runs in a thread that nothing joins.

    Second, what to set once nobody wants that any more.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from now on it takes a result, although nobody waits
    unwanted = Event()

    def run() -> None:
        _thread.unwanted = unwanted
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=run, name="store", daemon=True).start()
    return done, unwanted
