"""The folder of fetched bundles stays small, and keeps what may be in use."""

import os
import time
from pathlib import Path

from greengrocer.bundles.bundle import digest_of
from greengrocer.stores.cache import IN_USE_SECONDS, KEPT, LEFT_SECONDS, BundleCache
from greengrocer.stores.fetch import fetched
from support.bundles import write_fake_bundle
from support.object_store import ObjectStore


def aged(folder: Path, seconds: float) -> None:
    """Make a folder look as if it had been used so long ago."""
    then = time.time() - seconds
    os.utime(folder, (then, then))


def fill(cache: Path, number: int) -> list[str]:
    """Bundles in the cache, the oldest first, all of which no service can be loading any more."""
    found = []
    for k in range(number):
        directory = write_fake_bundle(cache / "new", version=str(k))
        found.append(digest_of(directory))
        directory.rename(cache / found[-1])
        aged(cache / found[-1], 2 * IN_USE_SECONDS - k)
    return found


def fetch_another(store: ObjectStore, tmp_path: Path, cache: Path) -> str:
    """Fetch a bundle that the cache does not have; returns its digest."""
    directory = write_fake_bundle(tmp_path / "another", version="another")
    store.put_bundle(directory, "/bucket/another")
    return Path(fetched("s3://bucket/another", cache)).name


def names(cache: Path) -> set[str]:
    """What lies in the cache."""
    return {path.name for path in cache.iterdir()}


def test_the_bundles_that_were_used_last_stay(
    store: ObjectStore, tmp_path: Path, cache: Path
) -> None:
    there = fill(cache, KEPT + 2)
    new = fetch_another(store, tmp_path, cache)
    assert names(cache) == {*there[2:], new}


def test_a_bundle_that_is_used_again_counts_as_new(
    store: ObjectStore, tmp_path: Path, cache: Path
) -> None:
    there = fill(cache, KEPT + 1)
    assert BundleCache(cache).find(there[0]) == cache / there[0]
    fetch_another(store, tmp_path, cache)
    assert there[0] in names(cache)
    assert there[1] not in names(cache)


def test_what_a_service_may_be_loading_stays(
    store: ObjectStore, tmp_path: Path, cache: Path
) -> None:
    there = fill(cache, KEPT + 2)
    for each in there:
        aged(cache / each, IN_USE_SECONDS / 2)
    fetch_another(store, tmp_path, cache)
    assert set(there) <= names(cache)


def test_downloads_that_were_given_up_go_and_what_is_not_ours_stays(
    store: ObjectStore, tmp_path: Path, cache: Path
) -> None:
    old, recent, foreign = f"{'0' * 64}.partial", f"{'1' * 64}.partial", "notes"
    for name in (old, recent, foreign):
        (cache / name).mkdir(parents=True)
        (cache / name / "part").touch()
        aged(cache / name, (LEFT_SECONDS if name != recent else 0) + 60)
    new = fetch_another(store, tmp_path, cache)
    assert names(cache) == {recent, foreign, new}
