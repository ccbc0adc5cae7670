"""No file descriptors left."""

import time
from contextlib import ExitStack
from pathlib import Path
from resource import RLIMIT_NOFILE

import pytest

from support.pictures import jpeg
from support.processes import descriptors
from support.servers import StartServer
from support.shortage import at_most, processor_seconds
from support.waiting import until
from support.wire import Wire, exchange, head, post
from support.workers import start_workers

FREE = 3  # descriptors that are left
CROWD = 20
WHILE = 2.0  # seconds without a descriptor
IDLE = 0.5  # of them, so many at most may be work
LIVEZ = head("GET", "/livez")


def test_who_is_connected_is_served_and_others_are_again_when_there_is_room(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--engine", "fake", "--bundle", str(fake_bundle))
    pid = server.process.pid
    assert exchange(server.url, post(jpeg(250))).status == 200
    until(lambda: exchange(server.url, LIVEZ).status == 200)
    with Wire(server.url) as connected:
        connected.send(LIVEZ).answer()
        limit = at_most(pid, RLIMIT_NOFILE, descriptors(pid) + FREE)
        with limit, ExitStack() as crowd:
            for _ in range(CROWD):
                crowd.enter_context(Wire(server.url))
            assert connected.send(post(jpeg(250))).answer().status == 200
            lines, worked = len(server.log), processor_seconds(pid)
            time.sleep(WHILE)  # that nothing happens is no event
            assert processor_seconds(pid) - worked < IDLE
            assert len(server.log) - lines < CROWD
            assert connected.send(post(jpeg(250))).answer().status == 200
        until(lambda: answers(server.url))


def answers(url: str) -> bool:
    try:
        return exchange(url, post(jpeg(250))).status == 200
    except (OSError, AssertionError):  # it was hung up
        return False


def test_whoever_is_hung_up_knows_it_at_once(serve: StartServer, fake_bundle: Path) -> None:
    server = serve("--engine", "fake", "--bundle", str(fake_bundle))
    pid = server.process.pid
    with Wire(server.url) as connected:
        connected.send(LIVEZ).answer()
        with at_most(pid, RLIMIT_NOFILE, descriptors(pid)), Wire(server.url) as refused:
            assert refused.closed()


@pytest.mark.accept
def test_a_supervisor_that_has_none_starts_nothing_until_it_has_some(
    fake_bundle: Path,
) -> None:
    workers = start_workers(1, "--engine", "fake", "--bundle", str(fake_bundle))
    try:
        engine = workers.engine
        with at_most(workers.supervisor, RLIMIT_NOFILE, descriptors(workers.supervisor) - 2):
            workers.kill(engine)
            workers.server.until_logged(
                lambda: any("cannot start" in line for line in workers.server.log)
            )
        until(lambda: workers.lost(engine))
        until(workers.ready)
        assert exchange(workers.url, post(jpeg(250))).status == 200
    finally:
        assert workers.server.stop() == 0
