from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import ReloadRefused
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.models import Models
from support.engines import CountingEngine
from support.live import engine_of


@pytest.fixture
def pipelines(fake_bundle: Path) -> list[Pipeline]:
    """Three models, each with an engine of its own."""
    manifest = read_manifest(fake_bundle)
    return [
        Pipeline(
            engine_of(CountingEngine, fake_bundle),
            manifest.geometry,
            ModelLabels(ModelId("greys", version), manifest.classes, manifest.coarse, 0.5),
            DecodeLimits(),
        )
        for version in "123"
    ]


@pytest.fixture
def models(pipelines: list[Pipeline]) -> Models:
    return Models(pipelines[0])


def closed(pipelines: list[Pipeline]) -> list[bool]:
    engines = [pipeline.engine for pipeline in pipelines]
    return [isinstance(engine, CountingEngine) and engine.closed for engine in engines]


def test_an_image_keeps_its_pipeline_during_a_swap(
    models: Models, pipelines: list[Pipeline]
) -> None:
    with models.taken() as (_, before):
        models.swap(pipelines[1])
        with models.taken() as (_, after):
            assert (before, after) == (pipelines[0], pipelines[1])
    assert models.current is pipelines[1]


def test_the_previous_model_stays_open_and_the_one_before_it_is_closed(
    models: Models, pipelines: list[Pipeline]
) -> None:
    models.swap(pipelines[1])
    assert closed(pipelines) == [False, False, False]
    models.swap(pipelines[2])
    assert closed(pipelines) == [True, False, False]


def test_an_engine_is_closed_after_its_last_image(
    models: Models, pipelines: list[Pipeline]
) -> None:
    with models.taken():
        with models.taken():
            models.swap(pipelines[1])
            models.swap(pipelines[2])
        assert closed(pipelines) == [False, False, False]
    assert closed(pipelines) == [True, False, False]


def test_an_image_that_fails_releases_its_pipeline(
    models: Models, pipelines: list[Pipeline]
) -> None:
    with pytest.raises(ValueError, match="bad"), models.taken():
        raise ValueError("bad")
    models.close()
    assert closed(pipelines) == [True, False, False]


def test_a_second_rollback_undoes_the_first(models: Models, pipelines: list[Pipeline]) -> None:
    models.swap(pipelines[1])
    models.roll_back()
    assert models.current is pipelines[0]
    models.roll_back()
    assert models.current is pipelines[1]
    assert closed(pipelines) == [False, False, False]


def test_a_rollback_without_a_previous_model_is_refused(
    models: Models, pipelines: list[Pipeline]
) -> None:
    with pytest.raises(ReloadRefused, match="no previous model"):
        models.roll_back()
    assert models.current is pipelines[0]


def test_closing_closes_both_models(models: Models, pipelines: list[Pipeline]) -> None:
    models.swap(pipelines[1])
    with models.taken():
        models.close()
        assert closed(pipelines) == [True, False, False]
    assert closed(pipelines) == [True, True, False]
