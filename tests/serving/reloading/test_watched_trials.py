"""The trials of bundles in a watched folder: orders go on meanwhile, and a slow one is repeated."""

import asyncio
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.bundles.bundle import find_bundle
from greengrocer.errors import BundleRefused, ReloadRefused, TrialTooSlow
from greengrocer.serving.reloading.folder_watch import LONGEST_PAUSE, PAUSE, FolderWatch
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Loaded, Origin
from support.bundles import write_fake_bundle
from support.clocks import SettableClock
from support.watched import refused, renamed, served, twice

pytestmark = pytest.mark.anyio


async def test_orders_are_obeyed_while_a_bundle_is_tried(
    manager: ModelManager, folder: Path, fake_bundle: Path
) -> None:
    tried, go_on = asyncio.Event(), asyncio.Event()

    async def attempt(bundle: str) -> None:
        if Path(bundle).parent == folder:
            tried.set()
            await go_on.wait()

    manager.attempt = attempt
    watch = FolderWatch(manager, folder)
    for name in ("other", "shop"):
        write_fake_bundle(folder / name, version="2")
    await watch.look()
    look = asyncio.create_task(watch.look())
    await tried.wait()
    await manager.add("other", str(fake_bundle))
    go_on.set()
    await look
    assert served(manager) == {"greys": "1", "other": "1", "shop": "2"}
    await manager.remove("other")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2", "other": "2"}
    assert refused(manager) == 0


async def test_a_bundle_that_changes_while_it_is_tried_is_tried_again(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)
        if len(tried) == 1:
            renamed(folder, "shop", "3")

    manager.attempt = attempt
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}
    await twice(watch.look)
    assert (tried, served(manager)) == (["shop", "shop"], {"greys": "1", "shop": "3"})


@pytest.mark.parametrize("again", [False, True])
async def test_a_bundle_that_goes_while_it_is_tried_is_forgotten_and_not_failed(
    manager: ModelManager, folder: Path, tried: list[str], again: bool
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)
        if len(tried) == 1:
            shutil.rmtree(bundle)
            find_bundle(bundle)

    manager.attempt = attempt
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    with capture_logs() as logs:
        await twice(watch.look)
    assert not manager.models.catalogue.absent
    assert not logs
    if again:
        write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    assert not manager.models.catalogue.absent
    assert served(manager) == ({"greys": "1", "shop": "2"} if again else {"greys": "1"})
    assert refused(manager) == 0


@pytest.mark.parametrize("changes", [False, True])
async def test_a_bundle_that_its_trial_refuses_counts_unless_it_has_changed(
    manager: ModelManager, folder: Path, changes: bool
) -> None:
    async def attempt(bundle: str) -> None:
        if changes:
            renamed(folder, "shop", "3")
        raise BundleRefused(f"bundle {bundle}: it is not good")

    manager.attempt = attempt
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    assert refused(manager) == (0 if changes else 1)
    assert bool(manager.models.catalogue.absent) != changes


async def test_a_bundle_whose_trial_was_too_slow_is_tried_again_after_growing_pauses(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(bundle)
        if len(tried) < 10:
            raise TrialTooSlow("its trial took over 30 seconds")

    manager.attempt = attempt
    clock = SettableClock()
    watch = FolderWatch(manager, folder, clock=clock)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    pause = PAUSE
    for count in range(1, 10):
        await twice(watch.look)
        clock.now += pause - 1
        await twice(watch.look)
        assert len(tried) == count
        clock.now += 1
        await watch.look()
        assert len(tried) == count + 1
        pause = min(2 * pause, LONGEST_PAUSE)
    assert served(manager) == {"greys": "1", "shop": "2"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
async def test_a_bundle_that_the_system_had_no_room_for_is_loaded_once_it_has(
    manager: ModelManager, folder: Path, tried: list[str], error: Exception
) -> None:
    load, lacking = manager.load, [error]

    def load_with_room(origin: Origin, default: bool) -> Loaded:
        if lacking:
            raise lacking.pop()
        return load(origin, default)

    manager.load = load_with_room
    clock = SettableClock()
    watch = FolderWatch(manager, folder, clock=clock)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    await twice(watch.look)
    assert (served(manager), refused(manager)) == ({"greys": "1"}, 1)
    clock.now += PAUSE
    await watch.look()
    assert served(manager) == {"greys": "1", "shop": "2"}
    assert tried == ["shop"]


async def test_a_watched_model_that_cannot_change_for_now_still_goes_with_its_folder(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder, clock=SettableClock())
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    manager.remember = full
    renamed(folder, "shop", "3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2"}
    manager.remember = lambda _: None
    shutil.rmtree(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


@pytest.mark.parametrize(
    ("event", "errors"),
    [
        ("load refused", [TrialTooSlow("too slow"), TrialTooSlow("slower still")]),
        ("watched model not loaded", [OSError(11, "no process"), OSError(12, "no memory")]),
    ],
)
async def test_a_reason_is_logged_once_until_it_or_the_bundle_changes(
    manager: ModelManager, folder: Path, event: str, errors: list[Exception]
) -> None:
    error = errors[0]

    async def attempt(_: str) -> None:
        raise error

    manager.attempt = attempt
    clock = SettableClock()
    watch = FolderWatch(manager, folder, clock=clock)

    async def logged() -> int:
        clock.now += LONGEST_PAUSE
        with capture_logs() as logs:
            await twice(watch.look)
        assert "watched model is tried again later" in {line["event"] for line in logs}
        return sum(line["event"] == event for line in logs)

    write_fake_bundle(folder / "shop", version="2")
    assert [await logged() for _ in range(3)] == [1, 0, 0]
    error = errors[1]
    assert [await logged() for _ in range(2)] == [1, 0]
    renamed(folder, "shop", "3")
    assert [await logged() for _ in range(2)] == [1, 0]


async def test_an_unload_that_cannot_be_recorded_is_logged_once(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    for _ in range(2):
        manager.remember = lambda _: None
        write_fake_bundle(folder / "shop", version="2")
        await twice(watch.look)
        manager.remember = full
        shutil.rmtree(folder / "shop")
        with capture_logs() as logs:
            for _ in range(4):
                await watch.look()
        assert [line["event"] for line in logs] == ["unload refused"]
        manager.remember = lambda _: None
        await watch.look()
        assert served(manager) == {"greys": "1"}
    # an order is answered each time, and so is the log
    manager.remember = full
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(ReloadRefused):
                await manager.make_default("greys")
    assert [line["event"] for line in logs] == ["default refused"] * 2


async def test_new_files_end_the_pause(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(bundle)
        if len(tried) == 1:
            raise TrialTooSlow("its trial took over 30 seconds")

    manager.attempt = attempt
    watch = FolderWatch(manager, folder, clock=SettableClock())
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    renamed(folder, "shop", "3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}


async def test_an_error_in_a_trial_stops_neither_the_others_nor_the_watch(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)
        if tried == ["bad"]:
            raise RuntimeError("no trial")

    manager.attempt = attempt
    watch = FolderWatch(manager, folder)
    for name in ("bad", "shop"):
        write_fake_bundle(folder / name, version="2")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2"}
    await twice(watch.look)
    assert tried == ["bad", "shop"]
