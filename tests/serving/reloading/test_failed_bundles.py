"""What cannot be loaded of a watched folder is listed as failed."""

import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.errors import ModelFailed
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.reloading.folder_watch import FolderWatch
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.orders import Orders
from greengrocer.serving.reloading.origin import Origin
from support.bundles import write_fake_bundle
from support.watched import served, twice

pytestmark = pytest.mark.anyio

SHOP_FAILED = (("shop", Absence.FAILED),)


def damaged(folder: Path) -> Path:
    """A bundle that does not match its digests."""
    bundle = write_fake_bundle(folder / "shop", version="2")
    (bundle / "golden.jpg").write_bytes(b"damaged")
    return bundle


@pytest.mark.parametrize("wrong", ["damaged", "unreadable"])
async def test_a_bundle_that_cannot_be_loaded_is_listed_as_failed_until_it_can_or_goes(
    manager: ModelManager, folder: Path, wrong: str
) -> None:
    watch = FolderWatch(manager, folder)
    shop = damaged(folder)
    if wrong == "unreadable":
        shop.rename(folder.parent / "away")
        shop.symlink_to("x" * 300)  # a name that no file system has
    with capture_logs() as logs:
        await twice(watch.look)
    assert {line.get("model") for line in logs} == {"shop"}
    assert manager.models.catalogue.absent == (("shop", Absence.FAILED),)
    with pytest.raises(ModelFailed, match="the model shop could not be loaded"):
        manager.models.catalogue.find("shop")
    if wrong == "damaged":
        shutil.rmtree(shop)
    else:
        shop.unlink()
    await twice(watch.look)
    assert not manager.models.catalogue.absent
    write_fake_bundle(shop, version="3")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "shop": "3"}


async def test_the_list_says_why_in_one_bounded_line(
    manager: ModelManager, folder: Path, tmp_path: Path
) -> None:
    manager.begin(Origin.of("lost", f"{tmp_path}/\x1b[31m{'x' * 2000}"))
    watch = FolderWatch(manager, folder)
    shop = damaged(folder)

    async def reasons() -> dict[str, str]:
        await twice(watch.look)
        models = (await Orders(manager, None).obey({"order": "list"}))["models"]
        return {each["model"]: each["reason"] for each in models}

    found = await reasons()
    assert found["greys"] == ""
    assert "\\u001b[31m" in found["lost"]
    assert len(found["lost"]) < 400
    assert "golden.jpg" in found["shop"]
    (shop / "manifest.json").write_text("{}")
    assert "manifest.json" in (await reasons())["shop"]
    shutil.rmtree(shop)
    shop.symlink_to("x" * 300)
    assert (await reasons())["shop"] == "File name too long"


async def test_what_was_unloaded_on_an_order_or_still_serves_is_not_listed_as_failed(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    for key in ("shop", "kept"):
        write_fake_bundle(folder / key, version="2")
    await twice(watch.look)
    await manager.remove("shop")
    for key in ("shop", "kept"):
        (folder / key / "golden.jpg").write_bytes(b"damaged")
    await twice(watch.look)
    assert served(manager) == {"greys": "1", "kept": "2"}
    assert manager.models.catalogue.absent == (("shop", Absence.UNLOADED),)


async def test_what_goes_while_the_models_are_changed_is_noticed_later(
    manager: ModelManager, folder: Path
) -> None:
    watch = FolderWatch(manager, folder)
    (folder / "shop").symlink_to("x" * 300)
    await twice(watch.look)
    assert manager.models.catalogue.absent == SHOP_FAILED
    (folder / "shop").unlink()
    manager.busy = True
    await twice(watch.look)
    assert manager.models.catalogue.absent == SHOP_FAILED
    manager.busy = False
    await watch.look()
    assert not manager.models.catalogue.absent


async def test_a_model_that_failed_elsewhere_is_not_forgotten_with_a_folder_of_its_name(
    manager: ModelManager, folder: Path, tmp_path: Path
) -> None:
    manager.begin(Origin.of("shop", str(tmp_path / "nowhere")))
    watch = FolderWatch(manager, folder)
    bundle = damaged(folder)
    await twice(watch.look)
    shutil.rmtree(bundle)
    await twice(watch.look)
    assert manager.models.catalogue.absent == SHOP_FAILED


async def test_a_process_after_this_one_forgets_what_has_gone_meanwhile(
    manager: ModelManager, folder: Path
) -> None:
    bundle = damaged(folder)
    await twice(FolderWatch(manager, folder).look)
    assert manager.models.catalogue.absent == SHOP_FAILED
    shutil.rmtree(bundle)
    await twice(FolderWatch(manager, folder).look)
    assert not manager.models.catalogue.absent
