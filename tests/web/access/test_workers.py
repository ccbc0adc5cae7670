"""With workers a limit is one limit: the engine process counts for all."""

import asyncio
from pathlib import Path

import pytest

from fake_engine import FakeEngine
from greengrocer.errors import NotReady
from greengrocer.serving.rate_limits import LocalRateLimiter, Rate
from greengrocer.serving.workers.remote_rate_limiter import RemoteRateLimiter
from support.live import engine_of
from support.seam import pair
from support.waiting import until
from support.wire import exchange, head
from support.workers import start_workers

pytestmark = pytest.mark.anyio

PATH = "/class-names"


def statuses(url: str, count: int) -> list[int]:
    """What so many requests get, each on a connection of its own."""
    return [exchange(url, head("GET", PATH)).status for _ in range(count)]


@pytest.mark.accept
def test_all_http_processes_share_one_limit_and_an_engine_that_dies_forgets(
    fake_bundle: Path,
) -> None:
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--access-log", "false")
    workers = start_workers(3, *flags, "--rate-limit-per-address", "20/hour")
    try:
        assert statuses(workers.url, 40) == [200] * 20 + [429] * 20
        workers.kill(workers.engine)
        came = until(lambda: [s for s in statuses(workers.url, 1) if s != 429])
        assert set(came) <= {200, 503}
        until(workers.ready)
        until(lambda: statuses(workers.url, 1) == [200])
        assert 429 in statuses(workers.url, 20)
    finally:
        assert workers.server.stop() == 0


async def test_the_engine_counts_over_the_link(tmp_path: Path, fake_bundle: Path) -> None:
    limiter = LocalRateLimiter({"address": Rate(2, 3600), "key": Rate(9, 3600)})
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle), limiter=limiter) as two:
        asked = [two.remote.limiter.take("192.0.2.1", "till-1") for _ in range(3)]
        told = [state for states in await asyncio.gather(*asked) for state in states]
    assert [(each.limit, each.remaining) for each in told] == [
        ("address", 1),
        ("key", 8),
        ("address", 0),
        ("key", 7),
        ("address", 0),
    ]
    assert [each.wait > 0 for each in told] == [False] * 4 + [True]


async def test_without_an_engine_nobody_passes(tmp_path: Path, fake_bundle: Path) -> None:
    with pytest.raises(NotReady):
        await RemoteRateLimiter().take("192.0.2.1", None)
    limiter = LocalRateLimiter({"address": Rate(2, 3600)})
    async with pair(tmp_path, engine_of(FakeEngine, fake_bundle), limiter=limiter) as two:
        asked = asyncio.create_task(two.remote.limiter.take("192.0.2.1", None))
        await asyncio.sleep(0)  # it has asked, and the engine has not heard it yet
        two.remote.close()
        with pytest.raises(NotReady):
            await asked
