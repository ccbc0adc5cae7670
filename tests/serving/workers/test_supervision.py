"""Real processes: killed, crashed, hung, and replaced."""

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from support.load import BROKEN, load
from support.make_images import jpeg
from support.poison.engine import CRASHES, DEADLY, HANGS, SLOW
from support.poison.worker import HANGS_WORKER
from support.processes import alive, children
from support.servers import START_SECONDS
from support.waiting import until
from support.wire import Wire, exchange, post
from support.workers import StartWorkers

CLIENTS = 4
pytestmark = [pytest.mark.accept, pytest.mark.leg("kills")]


def test_a_worker_that_is_killed_fails_only_what_it_was_computing(
    supervise: StartWorkers,
) -> None:
    workers = supervise(2)
    with load(workers.url, jpeg(250), CLIENTS) as clients:
        before = workers.pids("http")
        for victim in before:
            workers.kill(victim)
            until(partial(workers.lost, victim))
            clients.until_more(50)
        assert not set(before) & set(workers.pids("http"))
    assert set(clients.statuses) <= {200, BROKEN}
    assert clients.statuses[BROKEN] <= CLIENTS * len(before)


def test_an_engine_that_is_killed_fails_nothing(supervise: StartWorkers) -> None:
    workers = supervise(2)
    with load(workers.url, jpeg(SLOW), CLIENTS) as clients:  # so that the engine is at work
        for _ in range(2):
            engine = workers.engine
            workers.kill(engine)
            until(partial(workers.lost, engine))
            clients.until_more(2 * CLIENTS)
    assert set(clients.statuses) == {200}


def test_readiness_follows_the_engine_and_a_service_that_cannot_restart_it_exits(
    supervise: StartWorkers, bundle: Path
) -> None:
    workers = supervise(2)
    assert workers.ready()
    (bundle / DEADLY).touch()
    workers.kill(workers.engine)
    assert not workers.ready()  # whoever asks first hears it
    (bundle / DEADLY).unlink()
    until(workers.ready)
    (bundle / DEADLY).touch()
    workers.kill(workers.engine)
    assert workers.server.process.wait(START_SECONDS) == 1
    workers.server.reader.join(START_SECONDS)
    assert [line for line in workers.server.log if "giving up" in line]


def test_the_image_that_crashes_the_engine_is_refused_and_all_others_are_answered(
    supervise: StartWorkers,
) -> None:
    workers = supervise(2)
    engine = workers.engine
    with (
        ThreadPoolExecutor(3) as pool,
        load(workers.url, jpeg(250), CLIENTS) as clients,
    ):
        slow = pool.map(lambda _: exchange(workers.url, post(jpeg(SLOW))).status, range(2))
        answer = exchange(workers.url, post(jpeg(CRASHES)))
        assert list(slow) == [200, 200]
        clients.until_more(20)
    assert answer.status == 400
    problem = json.loads(answer.body)
    assert problem["code"] == "unreadable-image"
    assert "crashes the decoder" in problem["detail"]
    assert set(clients.statuses) == {200}
    assert workers.engine != engine


@pytest.mark.parametrize("stopped", [False, True])
def test_an_engine_that_hangs_is_replaced(supervise: StartWorkers, stopped: bool) -> None:
    workers = supervise(1, "--request-timeout-seconds", "2", "--decode-timeout-seconds", "1")
    engine = workers.engine
    if stopped:
        workers.signal(engine, signal.SIGSTOP)
    assert exchange(workers.url, post(jpeg(HANGS))).status == 504
    until(partial(workers.lost, engine))
    until(workers.ready)
    assert exchange(workers.url, post(jpeg(250))).status == 200
    workers.server.until_logged(lambda: any("hangs" in line for line in workers.server.log))


def test_while_an_engine_hangs_images_wait_for_the_next_one_until_their_deadlines(
    supervise: StartWorkers,
) -> None:
    workers = supervise(2, "--request-timeout-seconds", "60")
    engine = workers.engine
    workers.signal(engine, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        patient = pool.submit(exchange, workers.url, post(jpeg(250)))
        for _ in range(2):  # the first one has the engine looked at
            late = exchange(workers.url, post(jpeg(250), "X-Deadline-Ms: 500"))
            assert (late.status, json.loads(late.body)["code"]) == (504, "deadline-exceeded")
        assert patient.result().status == 200
    assert workers.engine != engine


def test_an_engine_that_stood_still_for_three_seconds_lives(supervise: StartWorkers) -> None:
    workers = supervise(1)
    engine = workers.engine
    late = exchange(workers.url, post(jpeg(SLOW), "X-Deadline-Ms: 100"))
    assert late.status == 504  # a thread goes on with it
    workers.signal(engine, signal.SIGSTOP)
    assert not workers.ready()  # the engine is suspected
    time.sleep(3)
    workers.signal(engine, signal.SIGCONT)
    until(workers.ready)
    assert exchange(workers.url, post(jpeg(250))).status == 200
    assert workers.engine == engine
    assert not [line for line in workers.server.log if "the engine hangs" in line]


def test_a_stopped_engine_is_found_by_the_readiness_probe(
    supervise: StartWorkers,
) -> None:
    workers = supervise(2)
    engine = workers.engine
    workers.signal(engine, signal.SIGSTOP)
    assert not workers.ready()
    until(partial(workers.lost, engine))
    until(workers.ready)
    assert exchange(workers.url, post(jpeg(250))).status == 200
    (line,) = (line for line in workers.server.log if "the engine hangs" in line)
    assert "did not answer within 10 s" in line


def test_a_busy_engine_stays_ready(supervise: StartWorkers) -> None:
    workers = supervise(2)
    engine = workers.engine
    with load(workers.url, jpeg(SLOW), 4 * CLIENTS) as clients:
        assert all(workers.ready() for _ in range(50))
        clients.until_more(CLIENTS)
    assert workers.engine == engine


def test_a_worker_that_hangs_is_replaced(supervise: StartWorkers) -> None:
    workers = supervise(1)
    (worker,) = workers.pids("http")
    with Wire(workers.url) as wire:
        assert wire.send(post(HANGS_WORKER)).closed()
    until(partial(workers.lost, worker))
    assert exchange(workers.url, post(jpeg(250))).status == 200
    ended = f"code=-{signal.SIGALRM}"
    workers.server.until_logged(lambda: any(ended in line for line in workers.server.log))


def test_no_process_is_left_when_the_supervisor_is_killed(
    supervise: StartWorkers, tmp_path: Path
) -> None:
    control = tmp_path / "control" / "greengrocer.sock"
    workers = supervise(2, "--control-socket", str(control))
    assert control.is_socket()
    directory, pids = workers.directory, children(workers.supervisor)
    assert len(pids) == 3
    workers.kill(workers.supervisor)
    until(lambda: not any(map(alive, pids)))
    assert not directory.exists()
    assert not control.exists()


def test_a_hung_engine_does_not_outlive_its_supervisor(supervise: StartWorkers) -> None:
    workers = supervise(1)
    directory, engine = workers.directory, workers.engine
    workers.signal(engine, signal.SIGSTOP)
    workers.kill(workers.supervisor)
    until(lambda: not alive(engine))
    until(lambda: not directory.exists())
