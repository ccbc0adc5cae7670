import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.errors import UsageError
from greengrocer.serving.reloading import folder_watch
from greengrocer.serving.reloading.folder_watch import FolderWatch
from greengrocer.serving.reloading.manager import ModelManager
from support.bundles import write_fake_bundle
from support.make_images import jpeg
from support.seam import until
from support.watched import refused, renamed, served, twice

pytestmark = pytest.mark.anyio


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
    assert not manager.state.absent  # nothing is left of them, as of their folders


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


async def test_a_folder_whose_name_no_model_can_have_is_told_of_once(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    for name in ("Großes Obst", "Shop", "my_shop", ".copying"):
        write_fake_bundle(folder / name)
    (folder / "No Bundle").mkdir()
    with capture_logs() as logged:
        await twice(watch.look)
    told = [entry for entry in logged if entry["event"] == "watched folder has no model's name"]
    assert [entry["folder"] for entry in told] == ["Großes Obst", "Shop", "my_shop"]
    assert all("small letters" in entry["reason"] for entry in told)
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


def test_a_folder_that_is_missing_is_refused(manager: ModelManager, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        FolderWatch(manager, tmp_path / "none")
