"""What must hold of the service while something else is done to it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from conformance.processes import Processes
from conformance.wire import exchange, head

QUICK = 5.0  # seconds: half of what is left to a request, and far more than health takes
PEAK = 150_000  # kilobytes: what an upload of 20 megabytes may cost for a moment


@contextmanager
def health_stays_quick(url: str) -> Iterator[None]:
    """Ask /livez all the while; every answer comes at once."""
    over = threading.Event()
    took: list[float] = []

    def ask() -> None:
        while not took or not over.wait(0.01):
            started = time.monotonic()
            assert exchange(url, head("GET", "/livez")).status == 200
            took.append(time.monotonic() - started)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        try:
            yield
        finally:
            over.set()
        asking.result()
    assert max(took) < QUICK


@contextmanager
def little_memory(service: Processes) -> Iterator[None]:
    """The service takes no more than a few uploads' worth of memory meanwhile."""
    before = service.kilobytes("Rss")
    service.forget_peaks()
    yield
    assert service.peak() - before < PEAK
