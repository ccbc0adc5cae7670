"""What a further model takes of memory, and what comes back when it is unloaded."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx
import pytest

from greengrocer.bundles.bundle import shipped_bundles
from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.serving.reloading.control import ask
from support.make_images import encoded, photo
from support.processes import memory
from support.servers import Server, StartServer

pytestmark = [pytest.mark.accept, pytest.mark.leg("memory of many models")]

FURTHER = 25_000  # kilobytes: a further model of the size of `fast`
SHARED = 8_000  # kilobytes: one whose weights are there already
BACK = 0.9  # of what a model has taken
PICTURE = encoded(photo(1), "JPEG")


@pytest.fixture
def server(serve: StartServer, runtime: Path) -> Server:
    return serve("--bundle", "fast", "--access-log", "false", XDG_RUNTIME_DIR=str(runtime))


def order(server: Server, runtime: Path, **message: object) -> None:
    answer = ask(runtime / "greengrocer" / f"{server.port}.sock", message)
    assert answer["ok"], answer


def version_of_fast(home: Path, version: str) -> str:
    """A bundle that differs from `fast` by its version."""
    bundle = shipped_bundles()["fast"]
    shutil.copytree(bundle, home / version)
    manifest = read_manifest(bundle).model_copy(update={"version": version})
    write_manifest(manifest, home / version)
    return str(home / version)


def use(server: Server, name: str) -> None:
    """Have a model answer, side by side, until its working memory is there."""
    with ThreadPoolExecutor(4) as pool, server.client() as client:

        def post(_: int) -> httpx.Response:
            return client.post(f"/models/{name}/predict", content=PICTURE)

        assert {answer.status_code for answer in pool.map(post, range(40))} == {200}


def test_a_further_model_is_small_and_its_memory_comes_back(
    server: Server, runtime: Path, tmp_path: Path
) -> None:
    pid = server.process.pid
    for version in ("first", "second"):  # what is taken once, by whichever model, is there then
        order(server, runtime, order="load", bundle=version_of_fast(tmp_path, version), model="new")
        use(server, "new")
        use(server, "fast")
        order(server, runtime, order="unload", model="new")
    taken, kept = [], []
    for version in ("third", "fourth", "fifth"):
        before = memory(pid)
        order(server, runtime, order="load", bundle=version_of_fast(tmp_path, version), model="new")
        use(server, "new")
        taken.append(memory(pid) - before)
        order(server, runtime, order="unload", model="new")
        kept.append(memory(pid) - before)
    # of several: how many images overlap, and so how much they take, is up to the scheduler
    assert median(taken) <= FURTHER, taken
    assert median(kept) <= (1 - BACK) * median(taken), (taken, kept)


def test_the_weights_of_a_version_are_in_memory_once(server: Server, runtime: Path) -> None:
    pid = server.process.pid
    use(server, "fast")
    before = memory(pid)
    for name in ("one", "two", "three"):
        order(server, runtime, order="load", bundle="fast", model=name)
        use(server, name)
    assert memory(pid) - before <= SHARED
