import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.context import Context
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.errors import ClientDisconnected, DeadlineExceeded, NotReady, UnreadableImage
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import DEFAULT_OPTIONS, AnswerOptions, ModelId, ModelLabels
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.models import Models
from support.clocks import SettableClock
from support.engines import HeldEngine
from support.make_images import jpeg

pytestmark = pytest.mark.anyio

SOON = 0.05  # seconds, on the real clock: long enough to be queued, far from a hang
HANG = 60.0


@pytest.fixture
def engine(fake_bundle: Path) -> HeldEngine:
    return HeldEngine(fake_bundle, read_manifest(fake_bundle), "cpu", ONE_THREAD).hold()


@pytest.fixture
def others() -> set[threading.Thread]:
    """The threads that are no classifier's of the test."""
    return set(threading.enumerate())


@pytest.fixture
def classifier(engine: HeldEngine) -> Iterator[LocalClassifier]:
    """One thread, which answers when the test lets it."""
    manifest = engine.manifest
    labels = ModelLabels(ModelId("greys", "1"), manifest.classes, manifest.coarse, 0.5)
    local = LocalClassifier(Models(Pipeline(engine, manifest.geometry, labels, DecodeLimits())), 1)
    yield local
    engine.release.set()
    local.close()


async def until_busy(engine: HeldEngine) -> None:
    assert await asyncio.to_thread(engine.busy.wait, HANG)


async def test_an_answer_reports_its_thread_time(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    engine.release.set()
    served = await classifier.classify(jpeg(100), Context(), AnswerOptions(top=2))
    assert [name for name, _ in served.answer.top] == ["grey-3", "grey-4"]
    assert served.seconds > 0
    assert classifier.labels.classes == engine.manifest.classes


async def test_a_refused_image_is_refused_by_its_own_error(classifier: LocalClassifier) -> None:
    with pytest.raises(UnreadableImage):
        await classifier.classify(b"no image", Context(), DEFAULT_OPTIONS)


async def test_nothing_is_computed_past_the_deadline(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    clock = SettableClock()
    context = Context(seconds=5, clock=clock)
    clock.now += 6
    with pytest.raises(DeadlineExceeded):
        await classifier.classify(jpeg(1), context, DEFAULT_OPTIONS)
    engine.release.set()
    classifier.close()
    assert engine.calls == 0


async def test_nothing_is_computed_for_a_disconnected_client(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    context = Context()
    context.cancel()
    with pytest.raises(ClientDisconnected):
        await classifier.classify(jpeg(1), context, DEFAULT_OPTIONS)
    assert not engine.busy.is_set()


async def test_a_deadline_that_passes_in_the_queue_is_kept_while_all_threads_are_busy(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    first = asyncio.create_task(classifier.classify(jpeg(1), Context(), DEFAULT_OPTIONS))
    await until_busy(engine)
    waiting = Context(seconds=SOON)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(classifier.classify(jpeg(2), waiting, DEFAULT_OPTIONS), HANG)
    with pytest.raises(ClientDisconnected):
        waiting.check()
    assert not first.done()
    engine.release.set()
    assert (await first).answer.top[0].name == "grey-0"
    classifier.close()
    assert engine.calls == 1


async def test_a_deadline_that_passes_in_the_engine_is_kept(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(
            classifier.classify(jpeg(1), Context(seconds=SOON), DEFAULT_OPTIONS), HANG
        )
    assert not engine.release.is_set()


async def test_a_cancelled_request_gives_up_its_place_in_the_queue(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    first = asyncio.create_task(classifier.classify(jpeg(1), Context(), DEFAULT_OPTIONS))
    await until_busy(engine)
    context = Context()
    second = asyncio.create_task(classifier.classify(jpeg(2), context, DEFAULT_OPTIONS))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    engine.release.set()
    await first
    with pytest.raises(ClientDisconnected):
        context.check()
    classifier.close()
    assert engine.calls == 1


async def test_closing_finishes_accepted_images_then_closes_the_engine(
    others: set[threading.Thread], classifier: LocalClassifier, engine: HeldEngine
) -> None:
    first = asyncio.create_task(classifier.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
    await until_busy(engine)
    assert classifier.healthy
    closing = asyncio.create_task(asyncio.to_thread(classifier.close))
    await asyncio.sleep(0)
    assert not engine.closed
    engine.release.set()
    assert (await first).answer.top[0].name == "grey-9"
    await closing
    assert engine.closed
    assert not classifier.healthy
    left = set(threading.enumerate()) - others
    assert not [thread for thread in left if thread.name.startswith("classify")]


async def test_a_closed_classifier_says_that_it_is_not_ready(
    classifier: LocalClassifier, engine: HeldEngine
) -> None:
    engine.release.set()
    classifier.close()
    with pytest.raises(NotReady):
        await classifier.classify(jpeg(1), Context(), DEFAULT_OPTIONS)
