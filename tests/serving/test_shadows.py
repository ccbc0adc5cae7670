import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from greengrocer.context import Context
from greengrocer.imaging.decode import DecodeLimits, Picture
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import DEFAULT_OPTIONS, ModelId, ModelLabels
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.models import Models
from greengrocer.serving.served import Served
from greengrocer.serving.shadows import Comparison, Shadows
from greengrocer.telemetry.metrics import Metrics
from support.engines import CountingEngine, HeldEngine
from support.live import FailingEngine, engine_of
from support.make_images import jpeg
from support.seam import until

pytestmark = pytest.mark.anyio


@dataclass
class Pair:
    """A model, the version beside it that gets copies of all images, and what is compared."""

    classifier: LocalClassifier
    shadows: Shadows
    engine: CountingEngine

    @property
    def comparison(self) -> Comparison:
        return self.shadows.comparisons["greys"]

    async def ask(self) -> None:
        await self.classifier.classify(jpeg(250), Context(), DEFAULT_OPTIONS)


def pipeline(engine: CountingEngine | FailingEngine, version: str) -> Pipeline:
    manifest = engine.manifest
    labels = ModelLabels(ModelId("greys", version), manifest.classes, manifest.coarse, 0.5)
    return Pipeline(engine, manifest.geometry, labels, DecodeLimits())


@asynccontextmanager
async def shadowed(
    fake_bundle: Path, beside: CountingEngine | FailingEngine, threads: int = 2, part: int = 100
) -> AsyncIterator[Pair]:
    engine = engine_of(CountingEngine, fake_bundle)
    models = Models(pipeline(engine, "1"))
    models.add("greys@next", pipeline(beside, "2"))
    classifier = LocalClassifier(models, threads)
    shadows = Shadows(models, Metrics(), classifier.run, classifier.idle)
    classifier.answered = shadows.offer
    shadows.cast("greys@next", part)
    try:
        yield Pair(classifier, shadows, engine)
    finally:
        if isinstance(beside, HeldEngine):
            beside.release.set()
        classifier.close()
        await asyncio.sleep(0)


def has_run(engine: CountingEngine, calls: int) -> bool:
    return engine.calls == calls


async def test_a_part_of_the_images_is_copied(fake_bundle: Path) -> None:
    beside = engine_of(CountingEngine, fake_bundle)
    async with shadowed(fake_bundle, beside, part=40) as pair:
        for images in range(1, 11):
            await pair.ask()
            await until(partial(has_run, beside, 40 * images // 100))
        await until(lambda: pair.comparison.images == 4)
        assert pair.comparison.same == 4
        assert pair.comparison.confidence == pair.comparison.shadow_confidence > 0
        assert pair.comparison.seconds > 0 < pair.comparison.shadow_seconds


async def test_an_answer_does_not_wait_for_its_copy_and_only_one_copy_runs(
    fake_bundle: Path,
) -> None:
    held = engine_of(HeldEngine, fake_bundle).hold()
    async with shadowed(fake_bundle, held) as pair:
        await pair.ask()
        assert await asyncio.to_thread(held.busy.wait, 60)
        await pair.ask()
        await until(lambda: pair.comparison.skipped == 1)
        assert (pair.engine.calls, held.calls) == (2, 0)
        held.release.set()
        await until(lambda: pair.comparison.images == 1)


async def test_without_an_idle_thread_an_image_is_skipped(fake_bundle: Path) -> None:
    beside = engine_of(CountingEngine, fake_bundle)
    async with shadowed(fake_bundle, beside, threads=1) as pair:
        await asyncio.gather(pair.ask(), pair.ask(), pair.ask())
        await until(lambda: pair.comparison.skipped + pair.comparison.images == 3)
        assert pair.comparison.skipped >= 1
        assert beside.calls == pair.comparison.images


async def test_a_copy_that_fails_changes_nothing_for_the_client(fake_bundle: Path) -> None:
    async with shadowed(fake_bundle, engine_of(FailingEngine, fake_bundle)) as pair:
        await pair.ask()
        registry = pair.shadows.metrics.registry
        labels = {"model": "greys", "shadow": "greys@next", "result": "failed"}
        await until(lambda: registry.get_sample_value("greengrocer_shadow_images_total", labels))
        await pair.ask()
        assert pair.comparison.images == 0


async def test_no_more_is_copied_once_that_is_ended(fake_bundle: Path) -> None:
    beside = engine_of(CountingEngine, fake_bundle)
    async with shadowed(fake_bundle, beside) as pair:
        pair.shadows.cast("greys@next", 0)
        await pair.ask()
        await asyncio.sleep(0)  # the image is offered after its answer
        await asyncio.sleep(0)  # and its copy begins after that
        await until(lambda: pair.classifier.working == 0)
        assert pair.shadows.comparisons == {}
        assert beside.calls == 0


async def test_nothing_of_a_version_that_was_replaced_is_compared(fake_bundle: Path) -> None:
    held = engine_of(HeldEngine, fake_bundle).hold()
    async with shadowed(fake_bundle, held) as pair:
        answered: list[tuple[Picture, str | None, Served]] = []

        def answer(picture: Picture, model: str | None, served: Served) -> None:
            answered.append((picture, model, served))
            pair.shadows.offer(picture, model, served)

        pair.classifier.answered = answer
        await pair.ask()
        assert await asyncio.to_thread(held.busy.wait, 60)
        third = pipeline(engine_of(CountingEngine, fake_bundle), "3")
        pair.shadows.models.swap(third, "greys")
        pair.shadows.cast("greys@next", 100)
        held.release.set()
        await until(lambda: pair.shadows._copying is None)
        pair.shadows.offer(*answered[0])  # it was answered before, and is offered after
        await until(lambda: pair.shadows._copying is None)
        assert pair.comparison == Comparison("greys@next", 100, ("3", "2"))
        await pair.ask()
        await until(lambda: pair.comparison.images == 1)
        assert held.calls == 2
