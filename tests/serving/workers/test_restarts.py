"""What serves is kept through deaths of the engine, also of one that was still starting."""

import errno
import os
import shutil
from pathlib import Path

import httpx
import pytest

from greengrocer.serving.reloading.control import Message, ask
from greengrocer.serving.workers.bundle_store import SERVING
from support.bundles import write_fake_bundle
from support.poison.engine import SLOW_START
from support.waiting import until
from support.workers import StartWorkers, Workers

pytestmark = pytest.mark.leg("kills")


def order(control: Path, name: str, **rest: object) -> Message:
    """Order a change, which must succeed. The answer."""
    answer = ask(control, {"order": name, **rest})
    assert answer["ok"], answer
    return answer


def reader_of(pipe: Path) -> int | None:
    """A descriptor of a pipe that somebody waits to read from; None while nobody does."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def let_one_start(home: Path) -> None:
    """Wait until an engine is about to start, and let it; the next one waits again."""
    descriptor = until(lambda: reader_of(home / SLOW_START))
    os.mkfifo(home / "next")
    (home / "next").rename(home / SLOW_START)
    os.close(descriptor)


def models(workers: Workers) -> list[tuple[str, str]]:
    """The name and version of each model."""
    listed = httpx.get(f"{workers.url}/models", timeout=60).json()["models"]
    return [(each["name"], each["version"]) for each in listed]


@pytest.mark.accept
def test_an_engine_that_dies_while_it_starts_loses_no_model_no_copy_and_no_split(
    supervise: StartWorkers, bundle: Path, tmp_path: Path, runtime: Path
) -> None:
    control = runtime / "greengrocer.sock"
    lost = f"lost={tmp_path / 'lost'}"
    workers = supervise(1, "--control-socket", str(control), "--bundle", lost)
    for key, version in (("shop", "2"), ("shop@next", "3"), ("gone", "4")):
        made = write_fake_bundle(tmp_path / key, version=version)
        order(control, "load", model=key, bundle=str(made))
        shutil.rmtree(made)  # only the copy is left
    order(control, "split", parts={"shop": 50, "shop@next": 50})
    order(control, "unload", model="gone")
    before, listed = models(workers), order(control, "list")
    assert "directory is missing" in str(listed)
    recorded = (workers.directory / SERVING).read_text()
    os.mkfifo(bundle / SLOW_START)
    first = workers.engine
    workers.kill(first)
    let_one_start(bundle)  # greys
    let_one_start(bundle)  # shop
    held = until(lambda: reader_of(bundle / SLOW_START))  # shop@next
    second = workers.engine
    assert (workers.directory / SERVING).read_text() == recorded
    (bundle / SLOW_START).unlink()
    workers.kill(second)
    os.close(held)
    until(lambda: workers.lost(second))
    until(workers.ready)
    assert models(workers) == before
    assert order(control, "list") == listed
