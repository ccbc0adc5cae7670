"""Which changes of the models are counted: those that load a bundle or return to one."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.errors import UsageError
from greengrocer.serving.reloading.manager import ModelManager
from support.bundles import write_fake_bundle
from support.watched import refused

pytestmark = pytest.mark.anyio


def counted(manager: ModelManager) -> tuple[float | None, float | None]:
    """How many changes were made, and how many were refused."""
    registry = manager.metrics.registry
    made = registry.get_sample_value("greengrocer_reloads_total", {"result": "ok"})
    return made, refused(manager)


async def test_refusals_are_logged_and_counted_where_a_bundle_was_to_be_loaded(
    manager: ModelManager, fake_bundle: Path
) -> None:
    with capture_logs() as logged:
        for order in (
            manager.remove("greys"),
            manager.split({"greys": 95}),
            manager.shadow("greys@next", 20),
            manager.promote("greys"),
            manager.make_default("shop"),
        ):
            with pytest.raises(UsageError):
                await order
    orders = ("unload", "split", "shadow", "promote", "default")
    assert [line["event"] for line in logged] == [f"{order} refused" for order in orders]
    assert counted(manager) == (0, 0)
    for order in (
        manager.reload("no-such-bundle"),
        manager.add("greys", str(fake_bundle)),
        manager.roll_back(),
    ):
        with pytest.raises(UsageError):
            await order
    assert counted(manager) == (0, 3)


async def test_changes_that_are_made_are_counted_where_a_bundle_was_loaded(
    manager: ModelManager, tmp_path: Path
) -> None:
    second = str(write_fake_bundle(tmp_path / "second", version="2"))
    await manager.add("shop", second)
    await manager.add("shop@next", second)
    await manager.reload(second)
    await manager.roll_back()
    assert counted(manager) == (4, 0)
    await manager.split({"shop": 50, "shop@next": 50})
    await manager.shadow("shop@next", 20)
    await manager.promote("shop@next")
    await manager.make_default("shop")
    await manager.remove("greys")
    assert counted(manager) == (4, 0)
