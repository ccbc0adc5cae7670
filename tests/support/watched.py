"""What tests of a watched folder do to it, and ask about the models."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from greengrocer.bundles.manifest import read_manifest, write_manifest
from greengrocer.serving.reloading.manager import ModelManager


def served(manager: ModelManager) -> dict[str, str]:
    """The version of each model."""
    return {key: labels.model.version for key, labels in manager.models.catalogue.models}


def renamed(folder: Path, name: str, version: str) -> None:
    """Give a bundle another version."""
    manifest = read_manifest(folder / name)
    write_manifest(manifest.model_copy(update={"version": version}), folder / name)


async def twice(look: Callable[[], Awaitable[object]]) -> None:
    """Look until what has appeared has settled."""
    for _ in range(2):
        await look()


def refused(manager: ModelManager) -> float | None:
    """How many changes were refused."""
    registry = manager.metrics.registry
    return registry.get_sample_value("greengrocer_reloads_total", {"result": "refused"})
