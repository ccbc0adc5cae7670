"""Orders whose bundles are fetched first, while other orders change the models."""

import asyncio
import threading
from pathlib import Path

import pytest

from greengrocer.errors import ReloadRefused
from greengrocer.serving.reloading.manager import ModelManager
from support.bundles import write_fake_bundle
from support.watched import served

pytestmark = pytest.mark.anyio

HANG = 60.0


async def test_an_order_is_refused_whose_model_another_has_changed_while_it_fetched(
    manager: ModelManager, tmp_path: Path
) -> None:
    two, three, slow = (
        str(write_fake_bundle(tmp_path / version, version=version)) for version in "234"
    )
    release = threading.Event()

    def fetch(bundle: str) -> str:
        assert bundle != slow or release.wait(HANG)
        return bundle

    manager.fetch = fetch
    await manager.reload(two)
    reload = asyncio.create_task(manager.reload(slow))
    load = asyncio.create_task(manager.add("shop", slow))
    await asyncio.sleep(0)  # both fetch now
    await manager.roll_back()
    await manager.add("shop", three)
    release.set()
    with pytest.raises(ReloadRefused, match="another order changed the model greys"):
        await reload
    with pytest.raises(ReloadRefused, match="there is a model shop already"):
        await load
    assert served(manager) == {"greys": "1", "shop": "3"}
