"""Bundles of a watched folder that are replaced, irregular or gone while others are tried."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.bundles.manifest import MANIFEST
from greengrocer.errors import BundleRefused
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.reloading.folder_watch import FolderWatch
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.serving_state import ServingState
from support.bundles import write_fake_bundle
from support.clocks import SettableClock
from support.seam import until
from support.watched import renamed, served, twice

pytestmark = pytest.mark.anyio


@pytest.fixture
async def watch(manager: ModelManager, folder: Path, tried: list[str]) -> FolderWatch:
    """A watch of a folder with the bundle `shop`, which serves."""
    watch = FolderWatch(manager, folder, clock=SettableClock())
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    assert tried == ["shop"]
    return watch


async def test_a_model_stays_whose_manifest_is_missing_at_one_look(
    watch: FolderWatch, manager: ModelManager, folder: Path
) -> None:
    manifest = folder / "shop" / MANIFEST
    manifest.rename(folder / "kept")
    await watch.look()
    assert served(manager) == {"greys": "1", "shop": "2"}
    (folder / "kept").rename(manifest)
    renamed(folder, "shop", "3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}
    await manager.roll_back("shop")
    assert served(manager) == {"greys": "1", "shop": "2"}


async def test_a_model_goes_whose_manifest_is_missing_at_two_looks(
    watch: FolderWatch, manager: ModelManager, folder: Path
) -> None:
    (folder / "shop" / MANIFEST).unlink()
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


async def test_a_folder_that_is_moved_away_and_back_is_unchanged(
    watch: FolderWatch, manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    (folder / "shop").rename(folder / "away~")
    await watch.look()
    (folder / "away~").rename(folder / "shop")
    await twice(watch.look)
    assert (tried, served(manager)) == (["shop"], {"greys": "1", "shop": "2"})


async def nothing(_: ModelManager) -> None:
    """No order comes in between."""


async def unload(manager: ModelManager) -> None:
    await manager.remove("shop")


async def reload(manager: ModelManager) -> None:
    """The model is no longer one of the folder."""
    await manager.reload(manager.state.models["greys"].current.bundle, "shop")


@pytest.mark.parametrize("order", [nothing, unload, reload])
async def test_a_folder_that_comes_back_once_it_was_missed_is_loaded_by_the_next_process_too(
    watch: FolderWatch,
    manager: ModelManager,
    folder: Path,
    order: Callable[[ModelManager], Awaitable[None]],
) -> None:
    recorded: list[ServingState] = []
    await order(manager)
    manager.remember = recorded.append
    (folder / "shop").rename(folder / "away~")
    await twice(watch.look)
    assert [state.watched for state in recorded] == [{}]
    if "shop" in manager.state.models:
        await manager.remove("shop")
    watch = FolderWatch(manager, folder)
    (folder / "away~").rename(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2"}


async def test_what_is_known_of_a_bundle_goes_with_it_also_where_it_never_served(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    shutil.copytree(write_fake_bundle(folder / "shop@next"), folder / "greys")
    with capture_logs() as logged:
        for away, back in (("greys", "a~"), ("shop@next", "b~")):
            await twice(watch.look)
            (folder / away).rename(folder / back)
            await twice(watch.look)
            (folder / back).rename(folder / away)
        await twice(watch.look)
    waiting = [line["model"] for line in logged if line["event"] == "watched model waits"]
    assert sorted(waiting) == ["greys", "greys", "shop@next", "shop@next"]


@pytest.mark.parametrize("kind", ["a pipe", "a folder"])
async def test_a_manifest_that_is_no_regular_file_cannot_be_read(
    watch: FolderWatch, manager: ModelManager, folder: Path, kind: str
) -> None:
    for name in ("shop", "new"):
        manifest = folder / name / MANIFEST
        manifest.parent.mkdir(exist_ok=True)
        manifest.unlink(missing_ok=True)
        os.mkfifo(manifest) if kind == "a pipe" else manifest.mkdir()
    with capture_logs() as logged:
        for _ in range(3):
            await watch.look()
    assert served(manager) == {"greys": "1", "shop": "2"}
    assert manager.models.catalogue.absent == (("new", Absence.FAILED),)
    told = [(line["model"], line["reason"]) for line in logged]
    assert told == [(name, f"{MANIFEST} is not a regular file") for name in ("new", "shop")]


@pytest.mark.parametrize("how", ["written in place", "another file"])
async def test_a_file_of_equal_size_and_time_is_noticed(
    watch: FolderWatch, manager: ModelManager, folder: Path, how: str
) -> None:
    manifest = folder / "shop" / MANIFEST
    before = manifest.stat()
    if how == "another file":
        new = folder / "new"
        shutil.copy(manifest, new)
        new.rename(manifest)
    renamed(folder, "shop", "3")
    os.utime(manifest, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = manifest.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}


async def test_what_changes_or_goes_before_its_turn_is_not_tried(
    watch: FolderWatch, manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)
        if tried[-1] == "a":
            shutil.rmtree(folder / "b")
            renamed(folder, "c", "3")
        raise BundleRefused("it is not good")

    manager.attempt = attempt
    for name in "abc":
        write_fake_bundle(folder / name)
    await twice(watch.look)
    assert tried == ["shop", "a"]
    await twice(watch.look)
    assert tried == ["shop", "a", "c"]


async def test_what_has_gone_is_unloaded_before_a_long_row_of_others_is_tried(
    watch: FolderWatch, manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    assert isinstance(watch.clock, SettableClock)
    clock = watch.clock

    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)
        clock.now += 2
        shutil.rmtree(folder / "shop", ignore_errors=True)
        raise BundleRefused("it is not good")

    manager.attempt = attempt
    for k in range(9):
        write_fake_bundle(folder / f"bad-{k}")
    watch.seconds = 2
    looks = 0
    while "shop" in served(manager):
        await watch.look()
        looks += 1
    assert (looks, len(tried)) == (4, 1 + 3 * 2)  # the first look tries none, the others two each
    while not await watch.look():
        looks += 1
    assert len(tried) == 10


async def test_the_watch_looks_at_once_again_where_a_look_had_no_time_for_all(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    clock = SettableClock()

    async def attempt(bundle: str) -> None:
        tried.append(bundle)
        clock.now += 0.02

    manager.attempt = attempt
    for k in range(9):
        write_fake_bundle(folder / f"model-{k}")
    async with FolderWatch(manager, folder, seconds=0.01, clock=clock):
        await until(lambda: len(served(manager)) == 10)
    assert len(tried) == 9
