"""Real processes without faults: answers, metrics, sockets, signals and memory."""

import shutil
import signal
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

from greengrocer.serving.workers.bundle_store import COPIES
from greengrocer.serving.workers.runtime_directory import METRICS
from support.bundles import write_fake_bundle
from support.commands import run
from support.make_images import encoded, jpeg, photo
from support.processes import children
from support.scrapes import Samples, sample, scrape
from support.servers import START_SECONDS, Server, StartServer, clean_environment
from support.waiting import until
from support.wire import Wire, exchange, head, post
from support.workers import StartWorkers, Workers, start_workers

pytestmark = pytest.mark.leg("kills")


def answers(url: str, pictures: list[bytes], target: str) -> list[dict[str, object]]:
    """What the service says, but for the requests' ids, each on a connection of its own."""
    said = []
    for picture in pictures:
        answer = httpx.post(
            url + target, content=picture, headers={"content-type": "image/jpeg"}, timeout=60
        ).json()
        answer.pop("request_id")
        said.append(answer)
    return said


def fresh_scrape(url: str) -> Samples:
    """The metrics as some worker serves them."""
    with httpx.Client(base_url=url, timeout=60) as client:
        return scrape(client)


def test_workers_answer_as_one_process_does(supervise: StartWorkers, fake_server: Server) -> None:
    workers = supervise(2)
    pictures = [encoded(photo(seed), "JPEG") for seed in range(8)]
    pictures += [pictures[0][:-40], b"", b"GIF89a"]
    for target in ("/predict", "/predict?top=10", "/predict?top=0"):
        told = answers(workers.url, pictures, target)
        assert told == answers(fake_server.url, pictures, target)


def test_every_process_serves_the_summed_metrics(supervise: StartWorkers) -> None:
    workers = supervise(2)
    for _ in range(20):
        assert exchange(workers.url, post(jpeg(250))).status == 200
    assert exchange(workers.url, post(b"GIF89a")).status == 415

    def counted() -> bool:
        samples = fresh_scrape(workers.url)
        return sample(samples, "requests_total", route="/predict", status="200") == 20

    until(counted)
    workers.kill(workers.pids("http")[0])
    until(lambda: len(workers.pids("http")) == 2)
    for _ in range(8):
        samples = fresh_scrape(workers.url)
        assert sample(samples, "requests_total", route="/predict", status="200") == 20
        assert sample(samples, "rejections_total", reason="unsupported-format") == 1
        assert sample(samples, "predictions_total", known="true") == 20
        assert sample(samples, "decode_seconds_count") >= 20
        assert sample(samples, "in_flight") == sample(samples, "images_in_flight") == 0
        models = {labels: v for (name, labels), v in samples.items() if "model_info" in name}
        assert models == {frozenset({("name", "greys"), ("version", "1")}): 1}


@pytest.mark.parametrize("rounds", [1, pytest.param(17, marks=pytest.mark.accept)])
def test_dead_processes_leave_their_counts_and_no_files(
    supervise: StartWorkers, rounds: int
) -> None:
    workers = supervise(2)
    metrics = workers.directory / METRICS
    asked = 0
    files = sizes(metrics)
    for replaced in range(0, rounds * workers.count, workers.count):
        workers.until_started(replaced)  # the supervisor gives up after five that never served
        for _ in range(5):
            assert exchange(workers.url, post(jpeg(250))).status == 200
        asked += 5
        until(partial(counted, workers.url, asked))
        for victim in [*workers.pids("http"), workers.engine]:
            workers.kill(victim)
            until(partial(workers.lost, victim))
        until(lambda: sizes(metrics) == files)
        until(workers.ready)
    assert counted(workers.url, asked)
    samples = fresh_scrape(workers.url)
    assert sample(samples, "predictions_total", known="true") == asked
    assert sample(samples, "in_flight") == sample(samples, "images_in_flight") == 0


def sizes(directory: Path) -> dict[str, int]:
    """The files in a directory, and their bytes."""
    return {file.name: file.stat().st_size for file in directory.iterdir()}


def counted(url: str, asked: int) -> bool:
    """Whether the processes together counted so many requests; they never count more."""
    told = sample(fresh_scrape(url), "requests_total", route="/predict", status="200")
    assert told <= asked
    return told == asked


@pytest.mark.accept
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_the_runtime_directory_is_private_and_removed_after_a_signal(
    supervise: StartWorkers, signum: signal.Signals
) -> None:
    workers = supervise(1)
    directory = workers.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) in {0o600, 0o700}, path
    assert stat.S_ISSOCK((directory / "engine.sock").stat().st_mode)
    workers.server.process.send_signal(signum)
    assert workers.server.process.wait(START_SECONDS) == 0
    assert not directory.exists()


def test_accepted_requests_are_finished_after_sigterm_even_on_sighup(
    supervise: StartWorkers,
) -> None:
    workers = supervise(2)
    request = post(jpeg(250))
    with Wire(workers.url) as wire:
        wire.send(head("GET", "/livez")).answer()  # it is a worker's by now
        wire.send(request[:-1])
        workers.server.process.send_signal(signal.SIGTERM)
        until(lambda: len(workers.pids("http")) == 1)
        for pid in (workers.engine, workers.supervisor):
            workers.signal(pid, signal.SIGHUP)
        assert wire.send(request[-1:]).answer().status == 200
    assert workers.server.process.wait(START_SECONDS) == 0


def test_a_second_signal_does_not_wait(supervise: StartWorkers) -> None:
    workers = supervise(1, "--upload-grace-seconds", "3600", "--drain-timeout-seconds", "3600")
    directory, pids = workers.directory, children(workers.supervisor)
    with Wire(workers.url) as wire:
        wire.send(head("GET", "/livez")).answer()
        wire.send(post(jpeg(250))[:-1])
        workers.server.process.send_signal(signal.SIGTERM)
        workers.server.until_logged(
            lambda: [line for line in workers.server.log if "stopping" in line]
        )
        workers.server.process.send_signal(signal.SIGTERM)
        assert workers.server.process.wait(START_SECONDS) == 0
    assert not directory.exists()
    assert not children_of_nobody(pids)


def children_of_nobody(pids: list[int]) -> list[int]:
    """Those of ``pids`` that still are processes of ours."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_bundle_that_is_refused_ends_the_start_in_one_line(bundle: Path) -> None:
    (bundle / "golden.jpg").write_bytes(jpeg(0))
    flags = ["--workers", "2", "--engine", "fake", "--bundle", str(bundle), "--port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "greengrocer", "serve", *flags, "--log-level", "warning"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
        timeout=START_SECONDS,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "golden.jpg" in done.stderr


@pytest.mark.accept
def test_a_new_model_serves_after_sighup_and_after_an_engine_crash(
    supervise: StartWorkers, bundle: Path, tmp_path: Path
) -> None:
    control = tmp_path / "control" / "greengrocer.sock"
    workers = supervise(2, "--control-socket", str(control))
    bundle.rename(tmp_path / "old")
    write_fake_bundle(bundle, version="2")
    workers.server.process.send_signal(signal.SIGHUP)
    until(partial(serves, workers.url, "2"))
    third = write_fake_bundle(tmp_path / "third", version="3")
    reload = ["reload", "--control-socket", str(control)]
    for arguments, number in ((["--bundle", str(third)], "3"), (["--rollback"], "2")):
        done = subprocess.run(
            [sys.executable, "-m", "greengrocer", *reload, *arguments],
            capture_output=True,
            text=True,
            env=clean_environment(),
            check=False,
            timeout=START_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        assert f"now serving greys {number} " in done.stdout
        assert serves(workers.url, number)
        assert told_versions(workers.url) == [number]
    subprocess.run(
        [sys.executable, "-m", "greengrocer", *reload, "--bundle", str(third)],
        env=clean_environment(),
        check=True,
        timeout=START_SECONDS,
    )
    engine = workers.engine
    workers.kill(engine)
    until(partial(workers.lost, engine))
    assert serves(workers.url, "3")
    assert told_versions(workers.url) == ["3"]


@pytest.mark.accept
def test_the_last_model_keeps_serving_if_its_directory_changes(
    supervise: StartWorkers, bundle: Path, tmp_path: Path
) -> None:
    control = tmp_path / "control" / "greengrocer.sock"
    workers = supervise(1, "--control-socket", str(control))
    (bundle / "golden.jpg").write_bytes(b"damaged")
    lose_engine(workers)
    assert serves(workers.url, "1")
    second = write_fake_bundle(tmp_path / "second", version="2")
    third = write_fake_bundle(tmp_path / "third", version="3")
    for new in (second, third):
        reload = ("reload", "--control-socket", str(control), "--bundle", str(new))
        assert run(*reload).returncode == 0
        shutil.rmtree(new)
    assert run("reload", "--control-socket", str(control), "--rollback").returncode == 0
    lose_engine(workers)
    assert serves(workers.url, "2")
    assert told_versions(workers.url) == ["2"]
    copies = workers.directory / COPIES
    assert len(list(copies.iterdir())) == 1
    # what a person asks for is read where it lies: that it is damaged is told, and 2 serves on
    workers.server.process.send_signal(signal.SIGHUP)
    workers.server.until_logged(lambda: [x for x in workers.server.log if "reload refused" in x])
    assert serves(workers.url, "2")
    for copy in copies.iterdir():
        shutil.rmtree(copy)
    write_fake_bundle(second, version="2a")
    lose_engine(workers)
    assert serves(workers.url, "2a")


def lose_engine(workers: Workers) -> None:
    """Kill the engine, and wait for the next."""
    engine = workers.engine
    workers.kill(engine)
    until(partial(workers.lost, engine))
    until(workers.ready)


def serves(url: str, version: str) -> bool:
    """Whether it is this version that answers."""
    (answer,) = answers(url, [jpeg(250)], "/predict")
    return answer["model"] == {"name": "greys", "version": version}


def told_versions(url: str) -> list[str]:
    """The model versions in the metrics."""
    samples = fresh_scrape(url)
    return [dict(labels)["version"] for name, labels in samples if "model_info" in name]


@pytest.mark.accept
def test_workers_answer_as_one_process_does_with_the_shipped_model(
    grocery_bundle: Path, serve: StartServer
) -> None:
    pictures = [encoded(photo(seed), "JPEG") for seed in range(4)]
    flags = ("--bundle", str(grocery_bundle), "--threads", "2")
    one = answers(serve(*flags).url, pictures, "/predict?top=81")
    workers = start_workers(2, *flags)
    try:
        assert answers(workers.url, pictures * 4, "/predict?top=81") == one * 4
    finally:
        assert workers.server.stop() == 0
