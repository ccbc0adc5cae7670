from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.engines.engine import Threads
from greengrocer.engines.shared import SharedEngines
from support.engines import CountingEngine
from support.live import engine_of

ONE, MORE = Threads(1, 1), Threads(1, 2)


@pytest.fixture
def made() -> list[CountingEngine]:
    return []


def test_one_content_has_one_engine_until_its_last_user_leaves(
    fake_bundle: Path, made: list[CountingEngine]
) -> None:
    manifest, engines = read_manifest(fake_bundle), SharedEngines()

    def make() -> CountingEngine:
        made.append(engine_of(CountingEngine, fake_bundle))
        return made[-1]

    first, second = (engines.start(manifest, ONE, make) for _ in range(2))
    assert len(made) == 1
    other = engines.start(manifest.model_copy(update={"version": "2"}), ONE, make)
    assert len(made) == 2
    first.close()
    first.close()  # once more changes nothing
    assert not made[0].closed
    second.close()
    assert (made[0].closed, made[1].closed) == (True, False)
    other.close()
    engines.start(manifest, ONE, make)
    assert len(made) == 3


def test_an_engine_with_more_threads_serves_those_who_want_fewer(
    fake_bundle: Path, made: list[CountingEngine]
) -> None:
    manifest, engines = read_manifest(fake_bundle), SharedEngines()

    def make() -> CountingEngine:
        made.append(engine_of(CountingEngine, fake_bundle))
        return made[-1]

    for threads, count in ((ONE, 1), (MORE, 2), (MORE, 2), (ONE, 2)):
        engines.start(manifest, threads, make)
        assert len(made) == count
