"""Full disks: for logs, answers, reports, trainings and the files that processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.web.schemas import Prediction
from support.bundles import write_fake_bundle
from support.commands import Done, mistake, run, run_into
from support.folders import write_folders
from support.graphs import write_onnx_bundle
from support.make_images import jpeg
from support.mounts import fill, python_that_sees, seen_by, small_disk
from support.orders import reload
from support.servers import START_SECONDS, logging_to
from support.waiting import until
from support.wire import exchange, head, post
from support.workers import Workers, start_workers

pytestmark = pytest.mark.leg("faults of the machine")

FULL = Path("/dev/full")
NO_ROOM = "No space left on device"
RECIPE = """
name = "tones"
backbone = "efficientnet-lite0"
pretrained = false
augmentation = { image_size = 32 }
optimisation = { epochs = 1, batch_size = 4, ema_decay = 0.5 }
export = { image_size = 32, calibration_images = 4 }
"""
# Each makes a new series of metrics.
EVERY_SERIES = [
    (post(jpeg(250)), 200),
    (post(b"no image"), 400),
    (post(b"GIF89a"), 415),
    (post(b""), 400),
    (post(jpeg(100), target="/explain"), 200),
    (head("GET", "/class-names"), 200),
    (head("GET", "/random-image"), 200),
    (head("GET", "/nope"), 404),
    (head("GET", "/predict"), 405),
    (head("GET", "/docs"), 200),
    (head("GET", "/v2"), 200),
    (head("GET", "/metrics"), 200),
]


@pytest.fixture
def disk(short_path: Path) -> Path:
    """Where a small disk is to be mounted."""
    disk = short_path / "disk"
    disk.mkdir()
    return disk


def run_with(disk: Path, kilobytes: int, *arguments: str, **environment: str) -> Done:
    """Run a command under which ``disk`` is as small as that."""
    python = python_that_sees(disk.parent, small_disk(disk, kilobytes))
    return run(*arguments, python=python, environment=environment)


def flags_of(bundle: Path) -> list[str]:
    return ["--engine", "fake", "--bundle", str(bundle)]


@pytest.fixture(params=[(), ("--workers", "1")], ids=["one process", "workers"])
def without_log(request: pytest.FixtureRequest, fake_bundle: Path) -> Iterator[str]:
    """The URL of a service whose log is on a full disk; it must end as ever."""
    with FULL.open("wb") as full, logging_to(full, *flags_of(fake_bundle), *request.param) as url:
        yield url


def test_a_full_disk_loses_log_lines_and_nothing_else(without_log: str) -> None:
    until(lambda: exchange(without_log, head("GET", "/readyz")).status == 200)
    for _ in range(100):
        assert exchange(without_log, post(jpeg(250))).status == 200
        assert exchange(without_log, post(b"GIF89a")).status == 415


@pytest.mark.parametrize("form", ["--csv", "--json", "--top=3"])
def test_predict_ends_when_its_output_has_no_room(
    tmp_path: Path, grocery_bundle: Path, form: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(100))
    done = run_into(FULL, "predict", str(tmp_path), form, "--bundle", str(grocery_bundle))
    assert NO_ROOM in mistake(done)


@pytest.mark.parametrize("flags", [(), ("--json",), ("--card",)])
def test_info_reports_that_its_output_has_no_room(
    fake_bundle: Path, flags: tuple[str, ...]
) -> None:
    assert NO_ROOM in mistake(run_into(FULL, "info", "--bundle", str(fake_bundle), *flags))


@pytest.fixture
def labelled(tmp_path: Path) -> list[str]:
    """Flags that name a small bundle, and an image of each of its classes."""
    levels = {f"grey-{k}": [k * 25 + 12] for k in range(10)}
    write_folders(tmp_path / "data" / "val", levels)
    bundle = write_onnx_bundle(tmp_path / "greys")
    return ["--data", str(tmp_path / "data"), "--bundle", str(bundle)]


def test_evaluate_ends_when_its_output_has_no_room(labelled: list[str]) -> None:
    assert NO_ROOM in mistake(run_into(FULL, "evaluate", "--json", *labelled))


def test_a_report_without_room_is_refused_and_named(disk: Path, labelled: list[str]) -> None:
    line = mistake(run_with(disk, 8, "evaluate", *labelled, "--report", str(disk / "report")))
    assert str(disk / "report" / "index.html") in line
    assert NO_ROOM in line


def test_a_download_without_room_says_what_to_do(disk: Path, dataset: Path) -> None:
    arguments = ["data", "download", "--data", str(disk / "there"), "--from", str(dataset)]
    line = mistake(run_with(disk, 1000, *arguments))
    assert NO_ROOM in line
    assert "make room" in line


@pytest.mark.accept
def test_a_training_without_room_for_a_checkpoint_ends_in_one_line(
    tmp_path: Path, disk: Path
) -> None:
    (tmp_path / "tones.toml").write_text(RECIPE)
    tones = {"dark": list(range(20, 36)), "light": list(range(180, 196))}
    data = write_folders(tmp_path / "data", tones)
    where = ["--recipe", str(tmp_path / "tones.toml"), "--data", str(data)]
    done = run_with(disk, 100, "train", *where, "--out", str(disk / "tones"))
    assert NO_ROOM in mistake(done)


def test_workers_do_not_start_on_a_full_disk(disk: Path, fake_bundle: Path) -> None:
    flags = ["--workers", "1", "--port", "0", *flags_of(fake_bundle)]
    done = run_with(disk, 100, "serve", *flags, TMPDIR=str(disk), XDG_RUNTIME_DIR="")
    assert NO_ROOM in mistake(done)


@pytest.fixture
def workers(disk: Path, runtime: Path, fake_bundle: Path) -> Iterator[Workers]:
    """HTTP processes and an engine, which share a small disk."""
    python = python_that_sees(disk.parent, small_disk(disk, 4000))
    environment = {"TMPDIR": str(disk), "XDG_RUNTIME_DIR": str(runtime)}
    started = start_workers(2, *flags_of(fake_bundle), python=python, environment=environment)
    yield started
    assert started.server.stop() == 0


def told_version(workers: Workers) -> str:
    answer = exchange(workers.url, post(jpeg(250)))
    return Prediction.model_validate_json(answer.body).model.version


def test_a_disk_that_fills_up_fails_reloads_but_no_request(
    workers: Workers, disk: Path, tmp_path: Path, runtime: Path
) -> None:
    other = write_fake_bundle(tmp_path / "other", version="2")
    pids = {*workers.pids("http"), workers.engine}
    ballast = fill(seen_by(workers.supervisor, disk))
    for request, status in EVERY_SERIES * 4:
        assert exchange(workers.url, request).status == status
    answer = reload(workers.server, runtime, other)
    assert not answer["ok"]
    assert NO_ROOM in answer["error"]
    assert told_version(workers) == "1"
    assert {*workers.pids("http"), workers.engine} == pids
    ballast.unlink()
    assert reload(workers.server, runtime, other)["ok"]
    engine = workers.engine
    workers.kill(engine)
    until(lambda: workers.lost(engine))
    assert told_version(workers) == "2"


@pytest.mark.accept
def test_a_watched_bundle_is_served_once_the_disk_has_room_again(
    disk: Path, runtime: Path, fake_bundle: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    python = python_that_sees(disk.parent, small_disk(disk, 4000))
    environment = {"TMPDIR": str(disk), "XDG_RUNTIME_DIR": str(runtime)}
    flags = [*flags_of(fake_bundle), "--watch", str(folder)]
    server = start_workers(1, *flags, python=python, environment=environment).server
    ballast = fill(seen_by(server.process.pid, disk))
    write_fake_bundle(folder / "shop")
    server.until_logged(lambda: any("tried again later" in line for line in server.log))
    assert any(NO_ROOM in line for line in server.log)
    ballast.unlink()
    image = post(jpeg(250), target="/models/shop/predict")
    until(lambda: exchange(server.url, image).status == 200, START_SECONDS)
    assert server.stop() == 0
