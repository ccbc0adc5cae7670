"""Handle a signal on the event loop, for the time of a ``with`` block."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signal(signum: signal.Signals, callback: Callable[[], None]) -> Iterator[None]:
    """Have the running loop call ``callback`` at every ``signum``; then restore the old handler.

    The loop's own ``remove_signal_handler`` would restore the default, which ends the process. A
    signal must wake the loop: uvloop always does, asyncio's only while it handles another signal.
    """
    loop = asyncio.get_running_loop()
    before = signal.signal(signum, lambda *_: loop.call_soon_threadsafe(callback))
    try:
        yield
    finally:
        signal.signal(signum, before)
