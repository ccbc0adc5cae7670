"""The comparison of a model with the version beside it, where one of the two is replaced."""

from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.context import Context
from greengrocer.errors import UsageError
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.served import Served
from greengrocer.serving.shadows import Comparison, Shadows
from support.bundles import write_fake_bundle

pytestmark = pytest.mark.anyio


async def run(work: Callable[[], Served], context: Context) -> Served:
    """No image is copied here."""
    raise NotImplementedError


@pytest.fixture
async def shadows(manager: ModelManager, tmp_path: Path) -> Shadows:
    """Half of the images of greys 1 are copied to greys@next 2."""
    shadows = manager.shadows = Shadows(manager.models, manager.metrics, run, lambda: True)
    for version in "23":
        write_fake_bundle(tmp_path / version, version=version)
    await manager.add("greys@next", str(tmp_path / "2"))
    await manager.shadow("greys@next", 50)
    return shadows


async def test_a_comparison_begins_again_where_one_of_the_two_is_replaced(
    manager: ModelManager, shadows: Shadows, tmp_path: Path
) -> None:
    third = str(tmp_path / "3")
    changes: list[tuple[str, str | None, tuple[str, str]]] = [
        ("greys@next", third, ("1", "3")),
        ("greys@next", None, ("1", "2")),
        ("greys", third, ("3", "2")),
        ("greys", None, ("1", "2")),
    ]
    for key, bundle, versions in changes:
        shadows.comparisons["greys"].images = 4
        await (manager.reload(bundle, key) if bundle else manager.roll_back(key))
        assert shadows.comparisons == {"greys": Comparison("greys@next", 50, versions)}


async def test_a_comparison_goes_on_where_another_model_is_replaced_or_a_bundle_is_refused(
    manager: ModelManager, shadows: Shadows, tmp_path: Path
) -> None:
    before = shadows.comparisons["greys"]
    with pytest.raises(UsageError):
        await manager.reload(str(tmp_path / "none"), "greys@next")
    for key in ("shop", "greys@other"):
        await manager.add(key, str(tmp_path / "2"))
        await manager.reload(str(tmp_path / "3"), key)
        await manager.roll_back(key)
    assert shadows.comparisons["greys"] is before
