import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import BundleRefused, ReloadRefused
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.reloading.models import Models
from greengrocer.serving.reloading.reload import Change, Reloader, ReloadTriggers
from greengrocer.telemetry.metrics import Metrics
from support.engines import CountingEngine
from support.live import engine_of

pytestmark = pytest.mark.anyio

HANG = 60.0
FIRST, SECOND = ModelId("greys", "first"), ModelId("greys", "second")

Make = Callable[[str], Pipeline]


@pytest.fixture
def make(fake_bundle: Path) -> Make:
    """A pipeline of the version that its source names; some sources are no bundle."""
    manifest = read_manifest(fake_bundle)

    def load(source: str) -> Pipeline:
        if source == "bad":
            raise BundleRefused("bundle bad: bad")
        if source == "worse":
            raise RuntimeError("two\nlines")
        labels = ModelLabels(ModelId("greys", source), manifest.classes, manifest.coarse, 0.5)
        engine = engine_of(CountingEngine, fake_bundle)
        return Pipeline(engine, manifest.geometry, labels, DecodeLimits())

    return load


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(*FIRST)


@pytest.fixture
def reloader(make: Make, metrics: Metrics) -> Reloader:
    return Reloader(Models(make("first")), make, "first", metrics)


def serving(reloader: Reloader) -> ModelId:
    """The model that serves, which the metrics must name as well."""
    model = reloader.models.current.labels.model
    lines = reloader.metrics.render().decode().splitlines()
    told = [line for line in lines if line.startswith("greengrocer_model_info{")]
    assert told == [f'greengrocer_model_info{{name="{model.name}",version="{model.version}"}} 1.0']
    return model


def counted(metrics: Metrics, result: str) -> float:
    found = metrics.registry.get_sample_value("greengrocer_reloads_total", {"result": result})
    assert found is not None
    return found


async def test_a_reload_swaps_and_says_what_served_and_serves(
    reloader: Reloader, metrics: Metrics
) -> None:
    assert await reloader.reload("second") == Change(FIRST, SECOND)
    assert serving(reloader) == SECOND
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (1, 0)


async def test_without_a_name_the_bundle_that_serves_is_read_anew(reloader: Reloader) -> None:
    await reloader.reload("second")
    before = reloader.models.current
    assert await reloader.reload() == Change(SECOND, SECOND)
    assert reloader.models.current is not before
    await reloader.reload("first")
    await reloader.roll_back()
    assert await reloader.reload() == Change(SECOND, SECOND)  # of what serves now


@pytest.mark.parametrize(("source", "error"), [("bad", BundleRefused), ("worse", ReloadRefused)])
async def test_what_does_not_load_changes_nothing(
    reloader: Reloader, metrics: Metrics, source: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        await reloader.reload(source)
    assert source in str(refused.value)
    assert "\n" not in str(refused.value)
    assert serving(reloader) == FIRST
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (0, 1)
    assert await reloader.reload() == Change(FIRST, FIRST)


async def test_a_rollback_is_told_as_a_change(reloader: Reloader, metrics: Metrics) -> None:
    with pytest.raises(ReloadRefused):
        await reloader.roll_back()
    await reloader.reload("second")
    assert await reloader.roll_back() == Change(SECOND, FIRST)
    assert await reloader.roll_back() == Change(FIRST, SECOND)
    assert serving(reloader) == SECOND
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (3, 1)


async def test_a_refused_rollback_notes_nothing(make: Make, metrics: Metrics) -> None:
    noted: list[str] = []
    reloader = Reloader(Models(make("first")), make, "first", metrics, remember=noted.append)
    with pytest.raises(ReloadRefused, match="no previous model"):
        await reloader.roll_back()
    assert noted == []


async def test_one_change_at_a_time_and_the_old_model_serves_meanwhile(
    make: Make, metrics: Metrics
) -> None:
    loading, release = threading.Event(), threading.Event()

    def slow(source: str) -> Pipeline:
        loading.set()
        assert release.wait(HANG)
        return make(source)

    reloader = Reloader(Models(make("first")), slow, "first", metrics)

    first = asyncio.create_task(reloader.reload("second"))
    assert await asyncio.to_thread(loading.wait, HANG)
    for other in (reloader.reload("first"), reloader.roll_back()):
        with pytest.raises(ReloadRefused, match="another reload"):
            await other
    assert serving(reloader) == FIRST
    release.set()
    assert await first == Change(FIRST, SECOND)
    assert await reloader.roll_back() == Change(SECOND, FIRST)


ORDERS: list[tuple[dict[str, object], bool]] = [
    ({"order": "reload", "bundle": "second"}, True),
    ({"order": "reload", "bundle": None}, True),
    ({"order": "reload", "bundle": "bad"}, False),
    ({"order": "rollback"}, False),  # nothing has been replaced
    ({"order": "reload"}, False),
    ({"order": "reload", "bundle": 5}, False),
    ({"order": "reload", "bundle": None, "soon": True}, False),
    ({"order": "stop"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("order", "ok"), ORDERS, ids=str)
async def test_an_order_is_obeyed_or_refused_in_one_line(
    reloader: Reloader, order: dict[str, object], ok: bool
) -> None:
    answer = await ReloadTriggers(reloader, None).obey(order)
    assert answer["ok"] is ok
    if ok:
        assert answer["old"] == FIRST._asdict()
        assert answer["new"] == serving(reloader)._asdict()
    else:
        assert len(answer["error"].splitlines()) == 1
        assert serving(reloader) == FIRST
