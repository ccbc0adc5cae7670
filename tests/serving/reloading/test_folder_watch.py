import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.errors import TrialTooSlow, UsageError
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.models import Models
from greengrocer.serving.reloading import folder_watch
from greengrocer.serving.reloading.folder_watch import LONGEST_PAUSE, PAUSE, FolderWatch
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Loaded, Origin
from greengrocer.telemetry.metrics import Metrics
from support.bundles import write_fake_bundle
from support.clocks import SettableClock
from support.engines import CountingEngine
from support.live import engine_of
from support.make_images import jpeg
from support.seam import until

pytestmark = pytest.mark.anyio


@pytest.fixture
def tried() -> list[str]:
    """The bundles that were tried, by the last part of their path."""
    return []


@pytest.fixture
def manager(fake_bundle: Path, tried: list[str]) -> ModelManager:
    def load(origin: Origin, default: bool) -> Loaded:
        del default
        bundle = load_bundle(Path(origin.bundle))
        manifest = bundle.manifest
        model = ModelId(origin.name or manifest.name, manifest.version)
        labels = ModelLabels(model, manifest.classes, manifest.coarse, 0.5)
        engine = engine_of(CountingEngine, bundle.directory)
        return Loaded(Pipeline(engine, manifest.geometry, labels, DecodeLimits()), origin, 0.01)

    async def attempt(bundle: str) -> None:
        tried.append(Path(bundle).name)

    origin = Origin(None, str(fake_bundle))
    models = Models(load(origin, True).pipeline)
    return ModelManager(models, load, origin, Metrics(), attempt=attempt)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def served(manager: ModelManager) -> dict[str, str]:
    """The version of each model."""
    return {key: labels.model.version for key, labels in manager.models.catalogue.models}


def renamed(folder: Path, name: str, version: str) -> None:
    """Give a bundle another version."""
    manifest = read_manifest(folder / name)
    write_manifest(manifest.model_copy(update={"version": version}), folder / name)


async def twice(look: Callable[[], Awaitable[None]]) -> None:
    for _ in range(2):
        await look()


async def test_what_appears_is_tried_and_served_and_unloaded_when_it_goes(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    await watch.look()
    assert served(manager) == {"greys": "1"}  # it may still be copied
    await watch.look()
    assert served(manager) == {"greys": "1", "shop": "2"}
    await twice(watch.look)
    assert tried == ["shop"]
    renamed(folder, "shop", "3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}
    assert tried == ["shop", "shop"]
    shutil.rmtree(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


async def test_a_bundle_that_is_still_copied_is_left_until_it_is_whole(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop")
    (folder / "shop" / "golden.jpg").write_bytes(b"half")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}
    await twice(watch.look)
    assert tried == ["shop"]  # once for each content
    (folder / "shop" / "golden.jpg").write_bytes(jpeg(100))
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "1"}


async def test_a_version_comes_after_its_model_and_goes_before_it(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop@next", version="2")
    write_fake_bundle(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "1", "shop@next": "2"}
    for name in ("shop", "shop@next"):
        shutil.rmtree(folder / name)
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


async def test_other_files_and_models_from_elsewhere_are_left_alone(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "greys", version="2")  # a model has the name
    write_fake_bundle(folder / "No Name")
    (folder / "empty").mkdir()
    (folder / "file").write_text("nothing")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}
    shutil.rmtree(folder / "greys")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


async def test_a_model_that_was_unloaded_on_an_order_comes_back_with_new_files_only(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    await manager.remove("shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}
    renamed(folder, "shop", "3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}


async def test_a_model_whose_folder_has_gone_is_unloaded_once_that_is_possible(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    for name, version in (("shop", "2"), ("greys@next", "3")):
        write_fake_bundle(folder / name, version=version)
    await twice(watch.look)
    await manager.make_default("shop")
    await manager.split({"greys": 50, "greys@next": 50})
    for name in ("shop", "greys@next"):
        shutil.rmtree(folder / name)
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2", "greys@next": "3"}
    await manager.split({"greys": 100})
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2"}
    await manager.make_default("greys")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}
    assert refused(manager) == 0


async def promote_and_load(manager: ModelManager, bundle: str) -> None:
    await manager.promote("shop@next")
    await manager.add("shop@next", bundle)


async def reload(manager: ModelManager, bundle: str) -> None:
    await manager.reload(bundle, "shop@next")


async def unload_and_load(manager: ModelManager, bundle: str) -> None:
    await manager.remove("shop@next")
    await manager.add("shop@next", bundle)


@pytest.mark.parametrize("change", [promote_and_load, reload, unload_and_load])
async def test_a_model_that_an_order_has_put_in_the_place_of_a_watched_one_is_left_alone(
    manager: ModelManager,
    folder: Path,
    tmp_path: Path,
    change: Callable[[ModelManager, str], Awaitable[None]],
) -> None:
    watch = FolderWatch(manager, folder)
    await manager.add("shop", str(write_fake_bundle(tmp_path / "first")))
    write_fake_bundle(folder / "shop@next", version="2")
    await twice(watch.look)
    await change(manager, str(write_fake_bundle(tmp_path / "ordered", version="3")))
    expected = served(manager)
    assert expected["shop@next"] == "3"
    renamed(folder, "shop@next", "4")
    await twice(watch.look)
    assert served(manager) == expected
    shutil.rmtree(folder / "shop@next")
    await twice(watch.look)
    assert served(manager) == expected


async def test_a_model_that_was_promoted_in_the_place_of_a_watched_one_is_left_alone(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    for name, version in (("shop", "2"), ("shop@next", "3")):
        write_fake_bundle(folder / name, version=version)
    await twice(watch.look)
    await manager.promote("shop@next")
    shutil.rmtree(folder / "shop@next")
    shutil.rmtree(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}


async def test_a_watched_model_that_is_read_again_or_rolled_back_to_is_still_watched(
    manager: ModelManager, folder: Path, tmp_path: Path
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "shop", version="2")
    await twice(watch.look)
    await manager.reload(key="shop")
    await manager.reload(str(write_fake_bundle(tmp_path / "ordered", version="3")), "shop")
    await manager.roll_back("shop")
    renamed(folder, "shop", "4")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "4"}
    await manager.roll_back("shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "2"}  # its files are the same
    shutil.rmtree(folder / "shop")
    await twice(watch.look)
    assert served(manager) == {"greys": "1"}


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


async def test_a_folder_that_cannot_be_read_stops_no_other_and_unloads_no_model(
    manager: ModelManager, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watch = FolderWatch(manager, folder)
    write_fake_bundle(folder / "kept", version="2")
    await twice(watch.look)
    (folder / "kept").rename(folder.parent / "away")
    (folder / "kept").symlink_to("x" * 300)  # a name that no file system has
    (folder / "bad").symlink_to("x" * 300)
    write_fake_bundle(folder / "shop", version="3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "kept": "2", "shop": "3"}
    assert capsys.readouterr().out.count("File name too long") == 2
    (folder / "kept").unlink()
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


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("a mistake")])
async def test_the_watch_goes_on_after_any_error_and_logs_it_once(
    manager: ModelManager,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    looks, read = 0, folder_watch.bundles_in

    def bundles_in(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
        nonlocal looks
        looks += 1
        if looks <= 3:
            raise error
        return read(folder)

    monkeypatch.setattr(folder_watch, "bundles_in", bundles_in)
    write_fake_bundle(folder / "shop", version="2")
    async with FolderWatch(manager, folder, seconds=0.001):
        await until(lambda: served(manager) == {"greys": "1", "shop": "2"})
    logged = capsys.readouterr().out
    assert logged.count("folder not read") + logged.count("watch failed") == 1


async def test_a_bundle_is_served_once_its_name_is_free_or_its_model_is_there(
    manager: ModelManager, folder: Path, fake_bundle: Path
) -> None:
    await manager.add("shop", str(fake_bundle))
    watch = FolderWatch(manager, folder)
    for name in ("shop", "other@next"):
        write_fake_bundle(folder / name, version="2")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "1"}
    await manager.remove("shop")
    await manager.add("other", str(fake_bundle))
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "other": "1", "shop": "2", "other@next": "2"}
    assert refused(manager) == 0


async def test_a_process_after_this_one_goes_on_watching_the_same_models(
    manager: ModelManager, folder: Path, tried: list[str]
) -> None:
    watch = FolderWatch(manager, folder)
    for name in ("changed", "gone", "kept", "unloaded"):
        write_fake_bundle(folder / name)
    await twice(watch.look)
    await manager.remove("unloaded")
    before = manager.state
    tried.clear()
    for key in ("changed", "gone", "kept"):
        await manager.remove(key)
    manager.state = manager.state._replace(absent={}, watched={})
    for origins in list(before.models.values())[1:]:
        manager.begin(origins.current)
    manager.resume(before)
    watch = FolderWatch(manager, folder)
    renamed(folder, "changed", "2")
    shutil.rmtree(folder / "gone")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "changed": "2", "kept": "1"}
    assert tried == ["changed"]
    assert refused(manager) == 0


def refused(manager: ModelManager) -> float | None:
    """How many changes were refused."""
    registry = manager.metrics.registry
    return registry.get_sample_value("greengrocer_reloads_total", {"result": "refused"})


def test_a_folder_that_is_missing_is_refused(manager: ModelManager, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        FolderWatch(manager, tmp_path / "none")
