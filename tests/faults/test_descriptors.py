"""A process of the service runs out of file descriptors."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from resource import RLIMIT_NOFILE

import pytest

from support.make_images import jpeg
from support.orders import reload
from support.processes import children, descriptors
from support.servers import Server, StartServer
from support.shortage import at_most, processor_seconds
from support.waiting import until
from support.wire import Wire, exchange, head, post
from support.workers import Workers, start_workers

pytestmark = pytest.mark.leg("faults of the machine")

FREE = 3  # descriptors that are left
CROWD = 20
WHILE = 2.0  # seconds without a descriptor
IDLE = 0.5  # of them, so many at most may be work
LIVEZ = head("GET", "/livez")


def test_open_connections_are_served_and_new_ones_once_descriptors_are_free(
    serve: StartServer, fake_bundle: Path
) -> None:
    server = serve("--engine", "fake", "--bundle", str(fake_bundle))
    crowd(server, server.process.pid)


@pytest.mark.accept
def test_an_http_process_without_descriptors_is_not_replaced(supervised: Workers) -> None:
    processes = children(supervised.supervisor)
    (pid,) = supervised.pids("http")
    crowd(supervised.server, pid)
    assert children(supervised.supervisor) == processes


def crowd(server: Server, pid: int) -> None:
    """More clients come than this process, to which they go, has descriptors for."""
    assert exchange(server.url, post(jpeg(250))).status == 200
    until(lambda: exchange(server.url, LIVEZ).status == 200)
    with Wire(server.url) as connected:
        connected.send(LIVEZ).answer()
        limit = at_most(pid, RLIMIT_NOFILE, descriptors(pid) + FREE)
        with limit, ExitStack() as others:
            for _ in range(CROWD):
                others.enter_context(Wire(server.url))
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


@pytest.fixture
def supervised(fake_bundle: Path, runtime: Path) -> Iterator[Workers]:
    """One HTTP process and an engine."""
    flags = ("--engine", "fake", "--bundle", str(fake_bundle))
    workers = start_workers(1, *flags, environment={"XDG_RUNTIME_DIR": str(runtime)})
    yield workers
    assert workers.server.stop() == 0


@pytest.mark.accept
def test_an_engine_without_descriptors_answers_and_new_processes_wait(
    supervised: Workers, runtime: Path
) -> None:
    engine, (http,) = supervised.engine, supervised.pids("http")
    with ThreadPoolExecutor(1) as pool:
        with at_most(engine, RLIMIT_NOFILE, descriptors(engine)):
            order = pool.submit(reload, supervised.server, runtime)
            assert exchange(supervised.url, post(jpeg(250))).status == 200
            supervised.kill(http)
            until(lambda: supervised.lost(http))
            assert not order.done()
        assert order.result()["ok"]
    until(lambda: answers(supervised.url))
    assert supervised.engine == engine


@pytest.mark.accept
def test_an_engine_without_descriptors_for_a_reload_keeps_serving(
    supervised: Workers, runtime: Path
) -> None:
    engine = supervised.engine
    with at_most(engine, RLIMIT_NOFILE, descriptors(engine) + 1):  # which takes the order
        told = reload(supervised.server, runtime)
        assert "Too many open files" in told["error"]
        assert "\n" not in told["error"]
        assert exchange(supervised.url, post(jpeg(250))).status == 200
    assert reload(supervised.server, runtime)["ok"]
    assert supervised.engine == engine


@pytest.mark.accept
def test_a_supervisor_without_descriptors_starts_processes_once_it_has_some(
    supervised: Workers,
) -> None:
    engine = supervised.engine
    with at_most(supervised.supervisor, RLIMIT_NOFILE, descriptors(supervised.supervisor) - 2):
        supervised.kill(engine)
        supervised.server.until_logged(
            lambda: any("cannot start" in line for line in supervised.server.log)
        )
    until(lambda: supervised.lost(engine))
    until(supervised.ready)
    assert exchange(supervised.url, post(jpeg(250))).status == 200
