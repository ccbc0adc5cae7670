import asyncio
import math
import os
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
from greengrocer.serving.frames.frames import Begun, Classify
from greengrocer.serving.frames.stream import encode
from greengrocer.serving.memory import Trim
from greengrocer.serving.workers import remote
from greengrocer.serving.workers.engine import FAR_PAST
from greengrocer.serving.workers.remote import MOST_SHARED, RemoteClassifier
from greengrocer.serving.workers.runtime_directory import listen_privately
from support.engines import HeldEngine
from support.live import FailingEngine, engine_of
from support.make_images import encoded, jpeg, photo
from support.processes import descriptors
from support.seam import (
    HANG,
    MAX_IMAGE_BYTES,
    ROOMY,
    ScriptedEngine,
    pair,
    pipeline_of,
    until,
)

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


async def test_refusals_and_failures_are_raised_unchanged(
    tmp_path: Path, fake_bundle: Path
) -> None:
    engine = engine_of(FailingEngine, fake_bundle)

    async with pair(tmp_path, engine) as both:
        both.server.admission.expect("greys", 1000)
        with pytest.raises(UnreadableImage, match="JPEG") as refused:
            await both.remote.classify(jpeg(250)[:-30], Context(seconds=HANG), DEFAULT_OPTIONS)
        assert refused.value.seconds > 0
        assert both.server.admission.service_seconds < 1000
        with pytest.raises(RuntimeError) as failed:
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        assert FailingEngine.SECRET not in str(failed.value)


async def test_the_engine_admits_and_gives_retry_after(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held, replace(ROOMY, wait_seconds=0)) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        with pytest.raises(Overloaded) as full:
            await both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS)
        assert full.value.retry_after >= 1
        held.release.set()
        assert (await first).answer.top[0].name == "grey-9"


async def test_patient_calls_wait_in_the_engines_queue(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held, replace(ROOMY, wait_seconds=0)) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        gone, patient = Context(), Context()
        gone.patient = patient.patient = True
        leaving = asyncio.create_task(both.remote.classify(jpeg(5), gone, DEFAULT_OPTIONS))
        waiting = asyncio.create_task(both.remote.classify(jpeg(5), patient, DEFAULT_OPTIONS))
        admission = both.server.admission
        await until(lambda: admission.waiting == 2)
        with pytest.raises(Overloaded):
            await both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS)
        gone.cancel()
        with pytest.raises(ClientDisconnected):
            await leaving
        await until(lambda: admission.waiting == 1)
        held.release.set()
        assert (await first).answer.top[0].name == "grey-9"
        assert (await waiting).answer.top[0].name == "grey-0"
        assert admission.pictures == 0


async def test_a_late_image_is_dropped_and_the_engine_suspected(
    tmp_path: Path, held: HeldEngine
) -> None:
    async with pair(tmp_path, held) as both:
        with pytest.raises(DeadlineExceeded, match="retry, or allow more time"):
            await both.remote.classify(jpeg(250), Context(seconds=0.05), DEFAULT_OPTIONS)
        assert not both.suspicions
        await until(lambda: both.suspicions)
        assert -FAR_PAST < both.suspicions[0] < 0  # it works on what nobody waits for
        held.release.set()
        assert (
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        ).seconds > 0
        assert both.server.hopeless() == -math.inf


async def test_an_engine_is_checked(tmp_path: Path, held: HeldEngine) -> None:
    async with pair(tmp_path, held) as both:
        first = asyncio.create_task(both.remote.classify(jpeg(250), Context(), DEFAULT_OPTIONS))
        await asyncio.to_thread(held.busy.wait, HANG)
        assert await asyncio.gather(*(both.remote.check() for _ in range(5))) == [True] * 5
        held.release.set()
        await first
        assert not both.suspicions
        both.remote.close()
        assert not await both.remote.check()


async def test_nothing_is_computed_for_a_disconnected_client(
    tmp_path: Path, held: HeldEngine
) -> None:
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


async def test_a_new_model_is_announced_to_all(tmp_path: Path, fake_bundle: Path) -> None:
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        both.server.models.swap(pipeline_of(engine_of(FakeEngine, fake_bundle), "2"))
        both.server.announce()
        await until(lambda: both.remote.labels.model.version == "2")
        answer = (
            await both.remote.classify(jpeg(250), Context(seconds=HANG), DEFAULT_OPTIONS)
        ).answer
        assert answer.model.version == "2"


LARGE = jpeg(250).ljust(500_000, b"\0")


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "in its frame"])
async def test_a_large_file_goes_to_the_engine_in_shared_memory_where_there_is_some(
    tmp_path: Path, fake_bundle: Path, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    received = Trim.received

    def note(self: Trim, count: int) -> None:
        sizes.append(count)
        received(self, count)

    monkeypatch.setattr(Trim, "received", note)
    if not shared:
        monkeypatch.setattr(remote, "share", lambda _: None)
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        before = descriptors(os.getpid())
        for picture in (LARGE, memoryview(bytearray(LARGE))):
            served = await both.remote.classify(picture, Context(seconds=HANG), DEFAULT_OPTIONS)
            assert served.answer.top[0].name == "grey-9"
        many = [both.remote.classify(LARGE, Context(), DEFAULT_OPTIONS) for _ in range(20)]
        assert len({each.answer.top for each in await asyncio.gather(*many)}) == 1
        await until(lambda: descriptors(os.getpid()) == before)  # a mapping has one, too
    assert (len(LARGE) in sizes) == shared


async def test_no_more_images_are_shared_than_the_engine_has_descriptors_for(
    tmp_path: Path, held: HeldEngine
) -> None:
    async with pair(tmp_path, held) as both:
        before = descriptors(os.getpid())
        calls = [
            asyncio.create_task(both.remote.classify(LARGE, Context(), DEFAULT_OPTIONS))
            for _ in range(2 * MOST_SHARED)
        ]
        await until(lambda: both.server.admission.pictures == len(calls))
        assert descriptors(os.getpid()) <= before + MOST_SHARED
        held.release.set()
        assert len({each.answer.top for each in await asyncio.gather(*calls)}) == 1


async def test_a_shared_image_of_a_lost_engine_goes_to_the_next_one(
    tmp_path: Path, fake_bundle: Path
) -> None:
    labels = pipeline_of(engine_of(FakeEngine, fake_bundle)).labels
    before = descriptors(os.getpid())
    with listen_privately(tmp_path / "engine.sock") as listener:
        engine = ScriptedEngine(listener, labels)
        classifier = RemoteClassifier(tmp_path / "engine.sock", lambda: None)
        starting = asyncio.create_task(classifier.start())
        await engine.accept()
        await engine.describe()
        await starting
        asked = asyncio.create_task(classifier.classify(LARGE, Context(), DEFAULT_OPTIONS))
        for suspect in (False, True):
            (frame,) = await engine.receive(1)
            assert (frame.image, frame.suspect) == (len(LARGE), suspect)
            engine.crash()
            await engine.accept()
            await engine.describe()
        asked.cancel()
        engine.crash()
        classifier.close()
        await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: descriptors(os.getpid()) == before)


@pytest.mark.parametrize("length", [1000, MAX_IMAGE_BYTES + 1])
async def test_a_peer_whose_shared_image_does_not_come_is_disconnected(
    tmp_path: Path, fake_bundle: Path, length: int
) -> None:
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        reader, writer = await asyncio.open_unix_connection(str(both.remote.path))
        asked = Classify.of(1, bytes(length), DEFAULT_OPTIONS, Context(), shared=True)
        writer.write(encode(asked))
        async with asyncio.timeout(HANG):
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await reader.readexactly(1 << 20)
        writer.close()
        assert await both.remote.check()


async def test_a_peer_that_sends_an_invalid_frame_is_disconnected(
    tmp_path: Path, fake_bundle: Path
) -> None:
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


async def test_watchers_are_told_of_other_models_and_of_an_engine_that_is_lost(
    tmp_path: Path, fake_bundle: Path
) -> None:
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle)) as both:
        changed = asyncio.Event()
        with both.remote.watchers.setting(changed):
            both.server.announce()
            await until(changed.is_set)
            changed.clear()
            both.server.stop()
            await until(changed.is_set)
            assert not both.remote.healthy
