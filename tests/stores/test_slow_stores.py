"""A store that sends too slowly is given up, and so is a fetch that nobody waits for any more."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from greengrocer.bundles.bundle import digest_of
from greengrocer.bundles.manifest import GRAPH, MANIFEST
from greengrocer.errors import StoreFailed, may_pass
from greengrocer.stores import store as stores
from greengrocer.stores.fetch import fetched
from greengrocer.stores.interruptible import cancellable
from support.object_store import ObjectStore
from support.seam import until

pytestmark = pytest.mark.anyio

SLOW, OTHER = "s3://bucket/slow", "s3://bucket/other"


@pytest.fixture(autouse=True)
def _two_places(store: ObjectStore, bundle: Path) -> None:
    """The same bundle at two addresses."""
    for place in ("/bucket/slow", "/bucket/other"):
        store.put_bundle(bundle, place)


def threads() -> list[threading.Thread]:
    """Those that fetch."""
    return [thread for thread in threading.enumerate() if thread.name == "store"]


@pytest.mark.parametrize("name", [MANIFEST, GRAPH])
def test_a_store_that_sends_byte_after_byte_is_given_up(
    store: ObjectStore, bundle: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(stores, "PACE_SECONDS", 0.5)
    store.drips = {f"/bucket/slow/{name}"}
    with pytest.raises(StoreFailed, match="comes too slowly, less than 64 KiB in") as failed:
        fetched(SLOW, cache)
    assert str(failed.value).startswith(f"{SLOW}: {name} ")
    assert "try again later, or name another store" in str(failed.value)
    assert may_pass(failed.value)
    assert fetched(OTHER, cache) == str(cache / digest_of(bundle))  # nobody else has to wait


def test_a_bundle_that_takes_too_long_as_a_whole_is_given_up(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "TOTAL_SECONDS", 3.0)
    store.drips = {f"/bucket/slow/{GRAPH}"}
    with pytest.raises(StoreFailed, match=f"{GRAPH} is not there after"):
        fetched(SLOW, cache)


def test_a_store_whose_answer_does_not_begin_is_given_up(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "ANSWER_SECONDS", 0.5)
    store.gate = threading.Event()
    with pytest.raises(StoreFailed, match=f"{GRAPH} does not answer in time") as failed:
        fetched(SLOW, cache)
    assert may_pass(failed.value)


@pytest.mark.parametrize("when", ["its answer comes slowly", "its answer does not begin"])
async def test_a_fetch_that_is_broken_off_keeps_nobody_waiting(
    store: ObjectStore, cache: Path, when: str
) -> None:
    gate = threading.Event()
    if when == "its answer comes slowly":
        store.drips = {f"/bucket/slow/{GRAPH}"}
    else:
        store.gate = gate
    fetch = asyncio.create_task(cancellable(partial(fetched, SLOW, cache)))
    assert await asyncio.to_thread(store.waiting.wait, 60)
    fetch.cancel()
    await until(lambda: not threads())
    gate.set()
    await cancellable(partial(fetched, OTHER, cache))
    assert f"/bucket/other/{GRAPH}" in store.paths("GET")


async def test_a_fetch_that_waits_for_another_ones_download_can_be_broken_off(
    store: ObjectStore, bundle: Path, cache: Path
) -> None:
    store.gate = threading.Event()
    first = asyncio.create_task(cancellable(partial(fetched, SLOW, cache)))
    assert await asyncio.to_thread(store.waiting.wait, 60)
    second = asyncio.create_task(cancellable(partial(fetched, OTHER, cache)))
    await until(lambda: f"/bucket/other/{MANIFEST}" in store.paths("GET"))
    second.cancel()
    await until(lambda: len(threads()) == 1)
    store.gate.set()
    assert await first == str(cache / digest_of(bundle))
