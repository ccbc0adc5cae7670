"""Admitted images are counted over all processes, whichever received them."""

import signal
from contextlib import ExitStack

import httpx
import pytest

from support.make_images import jpeg
from support.poison.engine import HANGS
from support.scrapes import sample, scrape
from support.waiting import until
from support.wire import Wire, exchange, post
from support.workers import StartWorkers, Workers

pytestmark = [pytest.mark.accept, pytest.mark.leg("kills")]
# Room for three images, whose answers nobody will see: a fourth would have to wait.
FLAGS = ("--threads", "3", "--max-queue-seconds", "1e-9", "--request-timeout-seconds", "600")
ROOM = 3


def in_flight(workers: Workers) -> float:
    """How many images the engine has admitted."""
    with httpx.Client(base_url=workers.url, timeout=60) as client:
        return sample(scrape(client), "images_in_flight")


def test_as_many_images_are_admitted_as_by_one_process(supervise: StartWorkers) -> None:
    workers = supervise(2, *FLAGS, "--drain-timeout-seconds", "1")
    processes = workers.pids("http")
    with ExitStack() as stack:
        for count in range(1, ROOM + 1):
            with only(workers, processes[count % 2]):
                stack.enter_context(Wire(workers.url)).send(post(jpeg(HANGS)))
                until(lambda count=count: in_flight(workers) == count)  # type: ignore[misc]
        for process in processes:
            with only(workers, process):
                assert exchange(workers.url, post(jpeg(250))).status == 429
    assert in_flight(workers) == ROOM
    workers.kill(workers.engine)  # its threads would hang for ever


def only(workers: Workers, process: int) -> ExitStack:
    """Let this HTTP process alone take connections, until the end of the ``with``."""
    others = ExitStack()
    for other in workers.pids("http"):
        if other != process:
            workers.signal(other, signal.SIGSTOP)
            others.callback(workers.signal, other, signal.SIGCONT)
    return others
