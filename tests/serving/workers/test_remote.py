import asyncio
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fake_engine import FakeEngine
from greengrocer.context import Context
from greengrocer.engines.engine import Inference
from greengrocer.errors import (
    ClientDisconnected,
    DeadlineExceeded,
    Overloaded,
    UnreadableImage,
)
from greengrocer.imaging.decode import Picture
from greengrocer.ranking import DEFAULT_OPTIONS, AnswerOptions
from greengrocer.serving.admission import Admission
from greengrocer.serving.frames.frames import Begun, Classify
from greengrocer.serving.frames.stream import encode
from greengrocer.serving.workers.engine import FAR_PAST
from support.engines import HeldEngine
from support.live import FailingEngine, engine_of
from support.pictures import encoded, jpeg, photo
from support.seam import HANG, ROOMY, pair, pipeline_of, until

pytestmark = pytest.mark.anyio
EVERYTHING = AnswerOptions(3, evidence=True, overlay=True, tensors=Inference._fields)


@pytest.fixture
def held(fake_bundle: Path) -> HeldEngine:
    return engine_of(HeldEngine, fake_bundle).hold()


async def test_an_answer_is_that_of_the_pipeline_in_every_field(
    tmp_path: Path, fake_bundle: Path
) -> None:
    engine = engine_of(FakeEngine, fake_bundle)

    async with pair(tmp_path, engine) as both:
        assert both.remote.healthy
        assert both.remote.labels == both.server.models.current.labels
        pictures: list[Picture] = [encoded(photo(seed), "JPEG") for seed in range(20)]
        pictures += [np.asarray(photo(seed)) for seed in range(20)]
        served = await asyncio.gather(
            *(both.remote.classify(picture, Context(), EVERYTHING) for picture in pictures)
        )
        for picture, (answer, seconds) in zip(pictures, served, strict=True):
            alone = both.server.models.current.classify(picture, Context(), EVERYTHING)
            assert answer == alone
            assert answer.overlay is not None
            assert answer.evidence is not None
            assert answer.evidence.dtype == np.float32
            np.testing.assert_array_equal(answer.evidence, alone.evidence)
            assert list(answer.tensors) == list(Inference._fields)
            np.testing.assert_equal(dict(answer.tensors), dict(alone.tensors))
            assert seconds > 0


async def test_refusals_and_failures_come_back_as_what_they_were(
    tmp_path: Path, fake_bundle: Path
) -> None:
    engine = engine_of(FailingEngine, fake_bundle)

    async with pair(tmp_path, engine) as both:
        both.server.admission.service_seconds = 1000
        with pytest.raises(UnreadableImage, match="JPEG") as refused:
            await both.remote.classify(jpeg(250)[:-30], Context(seconds=HANG), DEFAULT_OPTIONS)
        assert refused.value.seconds > 0
        assert both.server.admission.service_seconds < 1000
        with pytest.raises(RuntimeError) as failed:
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        assert FailingEngine.SECRET not in str(failed.value)


async def test_the_engine_admits_and_says_when_to_come_again(
    tmp_path: Path, held: HeldEngine
) -> None:
    async with pair(tmp_path, held, replace(ROOMY, wait_seconds=0)) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        with pytest.raises(Overloaded) as full:
            await both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS)
        assert full.value.retry_after >= 1
        held.release.set()
        assert (await first).answer.top[0].name == "grey-9"


def waiting_in_line(admission: Admission) -> int:
    return len(admission._queue)


async def test_who_is_patient_stands_in_the_engines_line(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held, replace(ROOMY, wait_seconds=0)) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        gone, patient = Context(), Context()
        gone.patient = patient.patient = True
        leaving = asyncio.create_task(both.remote.classify(jpeg(5), gone, DEFAULT_OPTIONS))
        waiting = asyncio.create_task(both.remote.classify(jpeg(5), patient, DEFAULT_OPTIONS))
        admission = both.server.admission
        await until(lambda: waiting_in_line(admission) == 2)
        with pytest.raises(Overloaded):
            await both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS)
        gone.cancel()
        with pytest.raises(ClientDisconnected):
            await leaving
        await until(lambda: waiting_in_line(admission) == 1)
        held.release.set()
        assert (await first).answer.top[0].name == "grey-9"
        assert (await waiting).answer.top[0].name == "grey-0"
        assert admission.pictures == 0


async def test_an_image_that_is_late_is_dropped_and_the_engine_is_suspected(
    tmp_path: Path, held: HeldEngine
) -> None:
    async with pair(tmp_path, held) as both:
        with pytest.raises(DeadlineExceeded):
            await both.remote.classify(jpeg(250), Context(seconds=0.05), DEFAULT_OPTIONS)
        assert not both.suspicions
        await until(lambda: both.suspicions)
        assert -FAR_PAST < both.suspicions[0] < 0  # it works on what nobody waits for
        held.release.set()
        assert (
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        ).seconds > 0
        assert both.server.hopeless() == -math.inf


async def test_an_engine_is_asked_whether_it_is_there(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        assert await asyncio.gather(*(both.remote.check() for _ in range(5))) == [True] * 5
        held.release.set()
        await first
        assert not both.suspicions
        both.remote.close()
        assert not await both.remote.check()


async def test_one_that_left_is_not_computed(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        context = Context()
        second = asyncio.create_task(both.remote.classify(jpeg(250), context, DEFAULT_OPTIONS))
        await asyncio.sleep(0)
        context.cancel()
        held.release.set()
        await first
        with pytest.raises(ClientDisconnected):
            await second
        assert held.calls == 1
        assert not both.suspicions


async def test_another_model_is_told_to_all(tmp_path: Path, fake_bundle: Path) -> None:
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        both.server.models.swap(pipeline_of(engine_of(FakeEngine, fake_bundle), "2"))
        both.server.announce()
        await until(lambda: both.remote.labels.model.version == "2")
        answer = (
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        ).answer
        assert answer.model.version == "2"


async def test_whoever_sends_no_frame_is_left(tmp_path: Path, fake_bundle: Path) -> None:
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        for noise in (b"\xff" * 40, encode(Begun(1)), _twice()):
            reader, writer = await asyncio.open_unix_connection(str(both.remote.path))
            writer.write(noise)
            async with asyncio.timeout(HANG):
                with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                    await reader.readexactly(1 << 20)
            writer.close()
        assert (
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        ).seconds > 0


def _twice() -> bytes:
    frame = Classify.of(1, jpeg(250), DEFAULT_OPTIONS, Context(seconds=HANG))
    return bytes(encode(frame) * 2)
