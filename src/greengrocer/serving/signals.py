"""A signal that an event loop hears for a while."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_signal(signum: signal.Signals, callback: Callable[[], None]) -> Iterator[None]:
    """Have the running loop call ``callback`` at every ``signum``; then what was set before counts.

    The loop's own ``remove_signal_handler`` would set what ends the process. It must be a loop that
    signals wake: uvloop's, or one that has another signal's handler for itself.
    """
    loop = asyncio.get_running_loop()
    before = signal.signal(signum, lambda *_: loop.call_soon_threadsafe(callback))
    try:
        yield
    finally:
        signal.signal(signum, before)
