import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.bundles.manifest import read_manifest
from greengrocer.context import Context
from greengrocer.engines.batcher import Batcher, BatchLimits
from greengrocer.engines.engine import ONE_THREAD
from greengrocer.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    ImageTooSlow,
    TooManyPixels,
    UnreadableImage,
)
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import InFlightCount, Pipeline
from greengrocer.ranking import AnswerOptions, ModelId, ModelLabels
from support.clocks import SettableClock
from support.engines import CountingEngine, HeldEngine
from support.make_images import encoded, jpeg, photo
from support.waiting import SECONDS


class Recorder:
    """Counts the observed stages, and may move a clock meanwhile."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def decoded(self, seconds: float) -> None:
        assert seconds > 0
        self.stages.append("decoded")

    def inferred(self, seconds: float) -> None:
        assert seconds > 0
        self.stages.append("inferred")


@pytest.fixture
def engine(fake_bundle: Path) -> CountingEngine:
    return CountingEngine(fake_bundle, read_manifest(fake_bundle), "cpu", ONE_THREAD)


def pipeline_of(
    engine: CountingEngine,
    limits: DecodeLimits | None = None,
    observer: Recorder | None = None,
    batcher: Batcher | None = None,
) -> Pipeline:
    manifest = engine.manifest
    labels = ModelLabels(ModelId("greys", "1"), manifest.classes, manifest.coarse, 0.5)
    return Pipeline(engine, manifest.geometry, labels, limits or DecodeLimits(), observer, batcher)


@pytest.mark.parametrize("level", [5, 100, 250])
@pytest.mark.parametrize("size", [(64, 48), (1000, 30)])
def test_an_image_is_classified(engine: CountingEngine, level: int, size: tuple[int, int]) -> None:
    answer = pipeline_of(engine).classify(jpeg(level, size), Context(), AnswerOptions(top=3))
    assert answer.top[0].name == f"grey-{level * 10 // 255}"
    assert len(answer.top) == 3
    assert answer.coarse is not None
    assert answer.coarse.name == ("dark" if level < 128 else "light")


def test_an_image_given_as_pixels_gets_the_same_answer(engine: CountingEngine) -> None:
    pixels = np.asarray(photo(1))
    pipeline = pipeline_of(engine)
    as_file = pipeline.classify(encoded(photo(1), "PNG"), Context())
    assert pipeline.classify(pixels, Context()) == as_file
    with pytest.raises(TooManyPixels, match="320 x 240"):
        pipeline_of(engine, DecodeLimits(pixels=320 * 240 - 1)).classify(pixels, Context())


@pytest.mark.parametrize(("size", "shown"), [((2000, 500), (1024, 256)), ((64, 48), (64, 48))])
def test_an_overlay_is_a_png_of_bounded_size(
    engine: CountingEngine, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    pipeline = pipeline_of(engine)
    for picture in (jpeg(100, size), encoded(photo(1, size), "PNG"), np.asarray(photo(1, size))):
        answer = pipeline.classify(picture, Context(), AnswerOptions(overlay=True))
        assert answer.overlay is not None
        with Image.open(io.BytesIO(answer.overlay)) as laid:
            assert (laid.format, laid.size, laid.mode) == ("PNG", shown, "RGB")


def test_the_observer_is_called_for_each_stage(engine: CountingEngine) -> None:
    recorder = Recorder()
    pipeline_of(engine, observer=recorder).classify(jpeg(9), Context())
    assert recorder.stages == ["decoded", "inferred"]


def test_a_refused_image_never_reaches_the_engine(engine: CountingEngine) -> None:
    with pytest.raises(UnreadableImage):
        pipeline_of(engine).classify(jpeg(1)[:200], Context())
    with pytest.raises(TooManyPixels):
        pipeline_of(engine, DecodeLimits(pixels=10)).classify(jpeg(1), Context())
    with pytest.raises(ImageTooSlow):
        pipeline_of(engine, DecodeLimits(seconds=0)).classify(jpeg(1), Context())
    assert engine.calls == 0


def test_an_image_past_its_deadline_is_not_computed(engine: CountingEngine) -> None:
    with pytest.raises(DeadlineExceeded):
        pipeline_of(engine).classify(jpeg(1), Context(seconds=0, clock=SettableClock()))
    assert engine.calls == 0


def test_nothing_is_computed_for_a_disconnected_client(engine: CountingEngine) -> None:
    context = Context()
    context.cancel()
    with pytest.raises(ClientDisconnected):
        pipeline_of(engine).classify(b"not even looked at", context)
    assert engine.calls == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_deadline_that_passes_while_decoding_stops_before_the_engine(
    engine: CountingEngine, kind: str
) -> None:
    clock = SettableClock()

    class Passing(Context):
        def check(self) -> None:
            super().check()
            clock.now += 1

    with pytest.raises(DeadlineExceeded):
        pipeline_of(engine).classify(encoded(photo(1), kind), Passing(seconds=2, clock=clock))
    assert engine.calls == 0


def test_images_of_two_threads_run_together_without_refused_ones(
    engine: CountingEngine,
) -> None:
    batcher = Batcher(engine, BatchLimits(largest=2, wait=60))
    pipeline = pipeline_of(engine, batcher=batcher)
    assert pipeline.largest_batch == 2
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pipeline.classify, jpeg(5), Context())
        with pytest.raises(UnreadableImage):
            pipeline.classify(jpeg(5)[:200], Context())
        second = pool.submit(pipeline.classify, jpeg(250), Context())
        assert [one.result(SECONDS).top[0].name for one in (first, second)] == ["grey-0", "grey-9"]
    assert engine.calls == 1
    pipeline.close()
    assert engine.closed
    assert not [thread for thread in threading.enumerate() if thread.name == "batches"]


def test_the_engine_is_told_whether_an_image_is_alone(
    fake_bundle: Path,
) -> None:
    engine = HeldEngine(fake_bundle, read_manifest(fake_bundle), "cpu", ONE_THREAD).hold()
    pipeline = pipeline_of(engine)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(pipeline.classify, jpeg(5), Context())
        assert engine.busy.wait(SECONDS)
        engine.busy.clear()
        second = pool.submit(pipeline.classify, jpeg(5), Context())
        assert engine.busy.wait(SECONDS)
        engine.release.set()
        assert first.result(SECONDS) == second.result(SECONDS)
    assert (engine.calls, engine.calls_alone) == (2, 1)
    pipeline.classify(jpeg(5), Context())
    assert engine.calls_alone == 2


def test_a_pipeline_without_batches_has_no_thread_of_its_own(engine: CountingEngine) -> None:
    before = set(threading.enumerate())
    pipeline = pipeline_of(engine)
    pipeline.classify(jpeg(5), Context())
    assert pipeline.largest_batch == 1
    assert set(threading.enumerate()) <= before  # one of an earlier test may have ended
    pipeline.close()
    assert engine.closed


def test_an_image_with_no_other_in_flight_is_alone() -> None:
    count = InFlightCount()
    for _ in range(2):
        with count.image() as image:
            assert image.alone


def test_an_image_that_meets_another_at_its_start_or_end_is_not_alone() -> None:
    count = InFlightCount()
    with count.image() as first:
        with count.image() as second:
            assert not first.alone
            assert not second.alone
        assert first.alone


def test_an_image_that_arrived_while_another_was_in_flight_is_not_alone_later() -> None:
    count = InFlightCount()
    first = count.image()
    with first:
        second = count.image()
        second.__enter__()
    assert count.images == 1
    assert not second.alone
