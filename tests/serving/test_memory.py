"""The memory of the service's processes, and that it does not grow over time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.ballast import write_heavy_bundle
from support.load import load
from support.make_images import encoded, jpeg, photo
from support.processes import descriptors, memory, page_faults, threads, tree
from support.servers import Server, StartServer
from support.waiting import until
from support.wire import Wire, exchange, head, post
from support.workers import start_workers

pytestmark = pytest.mark.accept

CLIENTS = 4
LONG = 600.0  # seconds: for thousands of answers, on a machine that has much else to do
FURTHER_WORKER = 60_000  # kilobytes
GROWTH = 2_000  # kilobytes of a process: an eighth of a kilobyte for each request
LEFT_BEHIND = 20_000  # kilobytes, of images of which each takes as much while it is decoded
FAULTS = 10  # an image: a model's buffers alone would be some hundred pages
WARM, MORE = 5_000, 15_000  # requests


def of_service(bundle: Path, workers: int) -> int:
    """The proportional memory of all processes together, once each has answered images."""
    running = start_workers(workers, "--bundle", str(bundle), "--threads", "2")
    try:
        for _ in range(12 * workers):
            assert exchange(running.url, post(jpeg(250))).status == 200
        return sum(map(memory, tree(running.supervisor)))
    finally:
        assert running.server.stop() == 0


def started(serve: StartServer, bundle: Path, workers: int | None) -> Server:
    """A service of so many processes, all of which are there."""
    flags = [
        "--bundle",
        str(bundle),
        "--engine",
        "fake",
        "--max-queue-seconds",
        "60",
        "--threads",
        "2",
    ]
    flags += ["--access-log", "false", *(["--workers", str(workers)] if workers else [])]
    server = serve(*flags)
    server.until_serving(workers or 1)
    return server


def test_a_further_worker_takes_little_memory_whatever_the_models_size(tmp_path: Path) -> None:
    one, three = {}, {}
    for megabytes in (4, 40):
        bundle = write_heavy_bundle(tmp_path / f"{megabytes}", megabytes)
        one[megabytes], three[megabytes] = of_service(bundle, 1), of_service(bundle, 3)
    assert one[40] - one[4] > 36_000  # the weights were there
    for megabytes in (4, 40):
        assert three[megabytes] - one[megabytes] < 2 * FURTHER_WORKER


@pytest.mark.parametrize("workers", [None, 2])
def test_large_images_leave_no_memory_behind(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    server = started(serve, fake_bundle, workers)
    pids = tree(server.process.pid)
    large = [post(encoded(photo(1, (2000, 1500)).convert(mode), "PNG")) for mode in ("RGBA", "L")]

    def answer(times: int) -> None:
        """So many at once, twice."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            for request in large * times:
                found = pool.map(lambda sent: exchange(server.url, sent).status, [request] * times)
                assert set(found) == {200}

    assert exchange(server.url, post(jpeg(250))).status == 200
    before = sum(memory(pid, "Anonymous") for pid in pids)
    answer(8)
    until(lambda: sum(memory(pid, "Anonymous") for pid in pids) - before < LEFT_BEHIND)


@pytest.mark.parametrize("workers", [None, 2])
def test_interrupted_uploads_leave_no_memory_behind(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    server = started(serve, fake_bundle, workers)
    pids = tree(server.process.pid)
    lines = ("Content-Type: image/jpeg", "Content-Length: 19000000")
    assert exchange(server.url, post(jpeg(250))).status == 200
    before = sum(memory(pid, "Anonymous") for pid in pids)
    for _ in range(4):
        with ExitStack() as opened:
            for _ in range(40):
                wire = opened.enter_context(Wire(server.url))
                wire.send(head("POST", "/predict", *lines) + bytes(3_000_000))
    until(lambda: sum(memory(pid, "Anonymous") for pid in pids) - before < LEFT_BEHIND)


@pytest.mark.parametrize("bundle", ["fast", "grocery"])
def test_images_of_one_size_reuse_memory(serve: StartServer, bundle: str) -> None:
    server = serve("--bundle", bundle, "--threads", "2", "--access-log", "false")
    pid = server.process.pid
    with load(server.url, jpeg(250), CLIENTS, kept=True) as clients:
        clients.until_more(100, LONG)
        before, answered = page_faults(pid), clients.statuses[200]
        clients.until_more(200, LONG)
        faults, answered = page_faults(pid) - before, clients.statuses[200] - answered
    assert not clients.others
    assert faults / answered < FAULTS


@pytest.mark.parametrize("workers", [None, 2])
def test_memory_descriptors_and_threads_do_not_grow_with_requests(
    serve: StartServer, fake_bundle: Path, workers: int | None
) -> None:
    server = started(serve, fake_bundle, workers)

    def answer(count: int) -> None:
        """So many, half of them on connections of their own."""
        for kept in (True, False):
            with load(server.url, jpeg(250), CLIENTS, kept) as clients:
                clients.until_more(count // 2, LONG)
            assert not clients.others

    def opened() -> list[int]:
        return [descriptors(pid) for pid in pids]

    pids = tree(server.process.pid)
    at_first = opened()
    answer(WARM)
    until(lambda: opened() == at_first)
    before = [memory(pid, "Anonymous") for pid in pids]
    running = [threads(pid) for pid in pids]
    answer(MORE)
    until(lambda: opened() == at_first)
    after = [memory(pid, "Anonymous") for pid in pids]
    assert [threads(pid) for pid in pids] == running
    assert max(b - a for a, b in zip(before, after, strict=True)) < GROWTH, (before, after)
