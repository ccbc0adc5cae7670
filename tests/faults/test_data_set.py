"""The data set is missing at the start, or vanishes while the service runs."""

import json
from pathlib import Path

import pytest

from support.commands import mistake, run
from support.folders import write_folders
from support.make_images import jpeg
from support.problems import problem_of
from support.servers import StartServer
from support.wire import exchange, head, post
from support.workers import start_workers

pytestmark = pytest.mark.leg("faults of the machine")

RANDOM = head("GET", "/random-image")


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_missing_data_set_ends_the_start_in_one_line(
    tmp_path: Path, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    flags = ["--engine", "fake", "--bundle", str(fake_bundle), "--log-level", "error", *workers]
    done = run("serve", "--port", "0", *flags, "--data", str(tmp_path / "nowhere"))
    assert f"there is no data set at {tmp_path / 'nowhere'}" in mistake(done)


def test_a_data_set_may_vanish_and_come_back_while_serving(
    serve: StartServer, tmp_path: Path, fake_bundle: Path
) -> None:
    data = write_folders(tmp_path / "data", {"pear": [10, 20]})
    server = serve("--engine", "fake", "--bundle", str(fake_bundle), "--data", str(data))
    assert exchange(server.url, RANDOM).status == 200
    data.rename(tmp_path / "gone")
    answer = exchange(server.url, RANDOM)
    assert problem_of(answer.status, answer.headers, answer.body).code == "not-ready"
    assert exchange(server.url, post(jpeg(250))).status == 200
    assert exchange(server.url, head("GET", "/readyz")).status == 200
    (tmp_path / "gone").rename(data)
    assert exchange(server.url, RANDOM).status == 200


@pytest.mark.accept
def test_without_the_data_set_a_dead_process_is_not_replaced(
    tmp_path: Path, fake_bundle: Path
) -> None:
    """An HTTP process reads the data set's list as it starts."""
    data = write_folders(tmp_path / "data", {"pear": [10, 20]})
    flags = ("--engine", "fake", "--bundle", str(fake_bundle), "--data", str(data))
    workers = start_workers(1, *flags)
    data.rename(tmp_path / "gone")
    assert json.loads(exchange(workers.url, post(jpeg(250))).body)["prediction"] == "grey-9"
    workers.kill(workers.pids("http")[0])
    assert workers.server.ended() == 1
    assert any("there is no data set" in line for line in workers.server.log)
    assert any("giving up" in line for line in workers.server.log)
