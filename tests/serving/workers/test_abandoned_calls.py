"""An abandoned call releases its image, whether queued, sent or to be sent again."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from greengrocer.context import Context
from greengrocer.errors import ClientDisconnected, DeadlineExceeded, NotReady
from greengrocer.imaging.geometry import Pixels
from greengrocer.ranking import DEFAULT_OPTIONS
from greengrocer.serving.frames.frames import Classify
from greengrocer.serving.workers import remote as remotes
from greengrocer.serving.workers.remote import ABANDONED_BYTES, RemoteClassifier
from support.seam import HANG, MAX_IMAGE_BYTES, ScriptedEngine, scripted, until

pytestmark = pytest.mark.anyio
SIDE = 512  # 786 kB of pixels, below what the link takes
MANY = 20


async def _away(engine: ScriptedEngine, remote: RemoteClassifier) -> None:
    engine.crash()
    await until(lambda: not remote.healthy)


async def _stays(engine: ScriptedEngine, remote: RemoteClassifier) -> None:
    """An engine that reads nothing: what is sent stays in the socket."""


async def _sends_again(engine: ScriptedEngine, remote: RemoteClassifier) -> None:
    """The next engine has been sent what the last one had."""
    first = asyncio.create_task(remote.classify(b"first", Context(seconds=HANG), DEFAULT_OPTIONS))
    await engine.receive(1)
    await _away(engine, remote)
    await engine.accept()
    await engine.describe()
    await engine.receive(1)
    first.cancel()


State = Callable[[ScriptedEngine, RemoteClassifier], Awaitable[None]]
STATES: list[State] = [_away, _stays, _sends_again]


async def _one(remote: RemoteClassifier, how: str, pictures: "list[weakref.ref[Pixels]]") -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    pictures.append(weakref.ref(picture))
    context = Context(seconds=0.02 if how == "late" else HANG)
    call = asyncio.create_task(remote.classify(picture, context, DEFAULT_OPTIONS))
    del picture
    await asyncio.sleep(0)
    if how == "cancelled":
        call.cancel()
    elif how == "departed":
        context.cancel()
    await asyncio.wait([call])
    assert call.cancelled() or isinstance(
        call.exception(), ClientDisconnected | DeadlineExceeded | NotReady
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", ["cancelled", "departed", "late"])
async def test_an_abandoned_call_releases_its_image(
    tmp_path: Path, fake_bundle: Path, state: State, how: str
) -> None:
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        await state(engine, remote)
        pictures: list[weakref.ref[Pixels]] = []
        for _ in range(MANY):
            await _one(remote, how, pictures)
        assert [each for each in pictures if each() is not None] == []
        assert not remote._calls
        # a link that is not read keeps little more than one image
        transport = remote._link and remote._link._transport
        kept = transport.get_write_buffer_size() if transport else 0
        assert kept < 2 * SIDE * SIDE * 3


async def test_images_in_shared_memory_that_nobody_waits_for_are_bounded(
    tmp_path: Path, fake_bundle: Path
) -> None:
    image = bytes(MAX_IMAGE_BYTES)
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        for _ in range(2 * ABANDONED_BYTES // len(image)):
            context = Context(seconds=HANG)
            call = asyncio.create_task(remote.classify(image, context, DEFAULT_OPTIONS))
            await asyncio.sleep(0)
            context.cancel()
            with pytest.raises(ClientDisconnected):
                await call
        sent = len(remote._shared)
        assert sum(remote._shared.values()) == ABANDONED_BYTES + len(image)
        waits = asyncio.create_task(remote.classify(image, Context(seconds=HANG), DEFAULT_OPTIONS))
        frames = await engine.receive(sent)
        assert len(remote._shared) == sent
        await engine.fail(frames[0].id)
        (last,) = await engine.receive(1)
        await engine.fail(last.id)
        with pytest.raises(RuntimeError):
            await waits


async def test_calls_over_the_write_buffer_are_sent_once_it_drains(
    tmp_path: Path, fake_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "share", lambda _: None)
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        calls = [
            asyncio.create_task(
                remote.classify(bytes([number]) * (1 << 19), Context(seconds=HANG), DEFAULT_OPTIONS)
            )
            for number in range(MANY)
        ]
        await asyncio.sleep(0)
        frames: list[Classify] = await engine.receive(MANY)
        assert [frame.picture[:1] for frame in frames] == [bytes([n]) for n in range(MANY)]
        for call in calls:
            call.cancel()
