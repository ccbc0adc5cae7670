"""A model's name after a reload with a bundle of another name."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import ReloadRefused
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.models import Models
from greengrocer.serving.reloading.manager import ModelManager
from greengrocer.serving.reloading.origin import Loaded, Origin
from greengrocer.telemetry.metrics import Metrics
from support.engines import CountingEngine
from support.live import engine_of

pytestmark = pytest.mark.anyio

LIMIT = "limit for a model that is not there"


@pytest.fixture
def manager(fake_bundle: Path) -> ModelManager:
    """It serves the bundle "greys"; a bundle's name is its model's, where that was given none."""
    manifest = read_manifest(fake_bundle)

    def load(origin: Origin, default: bool) -> Loaded:
        del default
        model = ModelId(origin.name or origin.bundle, "1")
        labels = ModelLabels(model, manifest.classes, manifest.coarse, 0.5)
        engine = engine_of(CountingEngine, fake_bundle)
        return Loaded(Pipeline(engine, manifest.geometry, labels, DecodeLimits()), origin, 0.01)

    first = Origin(None, "greys")
    admission = Admission(AdmissionLimits(100, 3.0, {"greys": 0.5}), 1, 1.0)
    models = Models(load(first, True).pipeline)
    return ModelManager(models, load, first, Metrics("greys", "1"), admission)


def names(manager: ModelManager) -> list[str]:
    return [model.key for model in manager.models.catalogue.models]


async def test_a_model_that_was_given_no_name_takes_that_of_its_bundle(
    manager: ModelManager,
) -> None:
    with capture_logs() as log:
        await manager.reload("browns")
        assert names(manager) == ["browns"]
        await manager.roll_back()
    assert names(manager) == ["greys"]
    assert [line["model"] for line in log if line["event"] == LIMIT] == ["greys"]


async def test_a_model_that_an_order_names_keeps_its_name(manager: ModelManager) -> None:
    with capture_logs() as log:
        await manager.reload("browns", "greys")
        assert names(manager) == ["greys"]
        await manager.reload("reds")
        assert names(manager) == ["greys"], "it has been given a name"
        await manager.roll_back("greys")
        await manager.add("greys@next", "reds")
        await manager.promote("greys@next")
    assert names(manager) == ["greys"]
    assert not [line for line in log if line["event"] == LIMIT]


@pytest.mark.parametrize(
    ("other", "why"),
    [("browns", "a model has it"), ("greys@next", "other versions are beside greys")],
)
async def test_a_name_that_cannot_be_taken_is_refused_with_the_way_to_keep_the_old_one(
    manager: ModelManager, other: str, why: str
) -> None:
    await manager.add(other, "reds")
    with pytest.raises(ReloadRefused, match=f"name browns, because {why}: .*models reload greys"):
        await manager.reload("browns")
    await manager.reload("browns", "greys")
    assert names(manager) == ["greys", other]
