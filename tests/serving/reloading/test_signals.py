"""SIGHUP reads the bundles of all models again."""

import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.orders import Orders
from support.bundles import write_fake_bundle
from support.seam import until
from support.watched import renamed, served

pytestmark = pytest.mark.anyio


async def test_an_error_at_one_model_is_logged_and_the_others_are_read_again(
    manager: ModelManager, folder: Path
) -> None:
    shop = write_fake_bundle(folder / "shop")
    await manager.add("shop", str(shop))

    def fetch(bundle: str) -> str:
        if bundle != str(shop):
            raise RuntimeError("a mistake")
        return bundle

    manager.fetch = fetch
    renamed(folder, "shop", "2")
    async with Orders(manager, None):
        with capture_logs() as logged:
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: served(manager) == {"greys": "1", "shop": "2"})
    failed = [line for line in logged if line["event"] == "reload failed"]
    assert [line["model"] for line in failed] == ["greys"]
