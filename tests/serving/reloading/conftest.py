"""Fixtures of a watched folder."""

from pathlib import Path

import pytest

from greengrocer.bundles.bundle import load_bundle
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.models import Models
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Loaded, Origin
from greengrocer.telemetry.metrics import Metrics
from support.engines import CountingEngine
from support.live import engine_of


@pytest.fixture
def tried() -> list[str]:
    """The bundles that were tried, by the last part of their path."""
    return []


@pytest.fixture
def manager(fake_bundle: Path, tried: list[str]) -> ModelManager:
    """A manager of one model, whose trials only note the bundle."""

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
    """A folder to watch."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"
