import asyncio
from pathlib import Path

import pytest

from greengrocer.context import Context
from greengrocer.errors import (
    ClientDisconnected,
    NotReady,
    UnreadableImage,
)
from greengrocer.ranking import DEFAULT_OPTIONS
from support.make_images import jpeg
from support.seam import HANG, scripted, until

pytestmark = pytest.mark.anyio


async def test_images_in_flight_are_suspect_and_one_that_crashes_alone_is_refused(
    tmp_path: Path, fake_bundle: Path
) -> None:
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        calls = [
            asyncio.create_task(
                remote.classify(jpeg(level), Context(seconds=HANG), DEFAULT_OPTIONS)
            )
            for level in (10, 20)
        ]
        first = await engine.receive(2)
        assert [frame.suspect for frame in first] == [False, False]
        engine.crash()
        await until(lambda: not remote.healthy)
        waiting = asyncio.create_task(
            remote.classify(jpeg(30), Context(seconds=HANG), DEFAULT_OPTIONS)
        )
        await engine.accept()
        await engine.describe()
        again = await engine.receive(3)
        assert [frame.suspect for frame in again] == [True, True, False]
        assert {f.picture for f in again} == {jpeg(10), jpeg(20), jpeg(30)}
        await engine.begin(again[0].id)
        engine.crash()
        with pytest.raises(UnreadableImage, match="crashes the decoder") as crash:
            await calls[0]
        assert crash.value.of_model  # its metric counts it
        await engine.accept()
        await engine.describe()
        third = await engine.receive(2)
        assert [frame.id for frame in third] == [again[1].id, again[2].id]
        assert [frame.suspect for frame in third] == [True, True]
        for call in (calls[1], waiting):
            call.cancel()


async def test_without_an_engine_waits_end_at_deadline_or_disconnect(
    tmp_path: Path, fake_bundle: Path
) -> None:
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        engine.crash()
        await until(lambda: not remote.healthy)
        with pytest.raises(NotReady, match="replaced"):
            await remote.classify(jpeg(10), Context(seconds=0.01), DEFAULT_OPTIONS)
        context = Context(seconds=HANG)
        waiting = asyncio.create_task(remote.classify(jpeg(10), context, DEFAULT_OPTIONS))
        await asyncio.sleep(0)
        context.cancel()
        with pytest.raises(ClientDisconnected):
            await waiting
        remote.close()
        with pytest.raises(NotReady, match="stopping"):
            await remote.classify(jpeg(10), Context(seconds=HANG), DEFAULT_OPTIONS)


async def test_an_engine_that_does_not_answer_a_check_is_suspect(
    tmp_path: Path, fake_bundle: Path
) -> None:
    suspected = asyncio.Event()
    async with scripted(tmp_path, fake_bundle) as (_, remote):
        remote.suspect_engine = suspected.set
        assert await remote.check() is False
        assert suspected.is_set()
        assert remote.healthy  # until it has gone


async def test_an_engine_that_exits_during_a_check_fails_it(
    tmp_path: Path, fake_bundle: Path
) -> None:
    async with scripted(tmp_path, fake_bundle) as (engine, remote):
        asked = asyncio.create_task(remote.check())
        await asyncio.sleep(0)
        engine.crash()
        assert await asked is False


@pytest.mark.parametrize("turns", range(6))
async def test_an_engine_that_exits_at_any_point_fails_all_checks(
    tmp_path: Path, fake_bundle: Path, turns: int
) -> None:
    async with scripted(tmp_path, fake_bundle) as (_, remote):
        asked = [asyncio.create_task(remote.check()) for _ in range(3)]
        for _ in range(turns):
            await asyncio.sleep(0)
        assert remote._link is not None
        remote._link.connection_lost(None)
        assert await asyncio.gather(*asked) == [False] * 3
