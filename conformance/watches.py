"""Checks of the service that must hold while a test does something else."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from conformance.limits import DEADLINE
from conformance.processes import Processes
from conformance.wire import Answer, Wire, exchange, head

QUICK = 5.0  # seconds: far more than health takes, on a busy machine and behind a proxy, too
WORK = 1.5  # seconds of processor time: to read what may come takes a third of it
PEAK = 150_000  # kilobytes: what an upload of 20 megabytes may cost for a moment
KEPT = 60_000  # kilobytes: less than three large images, and more than an allocator keeps
IDLE = 10.0  # seconds, in which memory must have come to rest
POLL = 0.1  # seconds
SLACK = 5.0  # seconds beyond a deadline, for what is not the service's


def in_time(url: str, requests: Iterable[bytes]) -> Iterator[Answer]:
    """The answers, on one connection: each is whole within an image's deadline."""
    with Wire(url, DEADLINE + SLACK) as wire:
        for request in requests:
            started = time.monotonic()
            answer = wire.send(request).answer()
            assert time.monotonic() - started < DEADLINE + SLACK
            yield answer


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
    """The service takes no more than a few uploads' worth of memory meanwhile.

    Some moments later, when it is idle, it has released nearly all of that.
    """
    before = service.kilobytes("Rss")
    service.forget_peaks()
    yield
    peak = service.peak() - before
    assert peak < PEAK, f"{peak} kB more at its peak than the {before} before"
    end = time.monotonic() + IDLE
    while (kept := service.kilobytes("Rss") - before) >= KEPT and time.monotonic() < end:
        time.sleep(POLL)
    assert kept < KEPT, f"{kept} kB more at rest than the {before} before"


@contextmanager
def little_work(service: Processes) -> Iterator[None]:
    """The service takes little processor time meanwhile, however busy the machine is."""
    before = service.seconds()
    yield
    assert service.seconds() - before < WORK
