import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from greengrocer.bundles.manifest import read_manifest
from greengrocer.errors import BundleRefused, ModelFailed, ReloadRefused
from greengrocer.imaging.decode import DecodeLimits
from greengrocer.pipeline import Pipeline
from greengrocer.ranking import ModelId, ModelLabels
from greengrocer.serving.admission import Admission, AdmissionLimits
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.models import Models
from greengrocer.serving.reloading.manager import Change, ModelManager
from greengrocer.serving.reloading.orders import Orders
from greengrocer.serving.reloading.origin import Loaded, Origin
from greengrocer.serving.reloading.serving_state import ServingState
from greengrocer.telemetry.metrics import Metrics
from support.engines import CountingEngine
from support.live import engine_of

pytestmark = pytest.mark.anyio

HANG = 60.0
FIRST, SECOND = ModelId("greys", "first"), ModelId("greys", "second")

Make = Callable[[Origin, bool], Loaded]


@pytest.fixture
def make(fake_bundle: Path) -> Make:
    """A pipeline of the version that its source names; some sources are no bundle."""
    manifest = read_manifest(fake_bundle)

    def load(origin: Origin, default: bool) -> Loaded:
        del default
        source = origin.bundle
        if source == "bad":
            raise BundleRefused("bundle bad: bad")
        if source == "worse":
            raise RuntimeError("two\nlines")
        model = ModelId(origin.name or "greys", source)
        labels = ModelLabels(model, manifest.classes, manifest.coarse, 0.5)
        engine = engine_of(CountingEngine, fake_bundle)
        return Loaded(Pipeline(engine, manifest.geometry, labels, DecodeLimits()), origin, 0.01)

    return load


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(*FIRST)


def managed(
    make: Make,
    metrics: Metrics,
    load: Make | None = None,
    remember: Callable[[ServingState], None] = lambda _: None,
) -> ModelManager:
    origin = Origin(None, "first")
    models = Models(make(origin, True).pipeline)
    admission = Admission(AdmissionLimits(100, 3.0), 1, 1.0)
    return ModelManager(models, load or make, origin, metrics, admission, remember=remember)


@pytest.fixture
def manager(make: Make, metrics: Metrics) -> ModelManager:
    return managed(make, metrics)


def serving(manager: ModelManager) -> ModelId:
    """The model that serves, which the metrics must name as well."""
    model = manager.models.current.labels.model
    lines = manager.metrics.render()[0].decode().splitlines()
    told = [line for line in lines if line.startswith("greengrocer_model_info{")]
    assert told == [f'greengrocer_model_info{{name="{model.name}",version="{model.version}"}} 1.0']
    return model


def counted(metrics: Metrics, result: str) -> float:
    found = metrics.registry.get_sample_value("greengrocer_reloads_total", {"result": result})
    assert found is not None
    return found


async def test_a_reload_swaps_and_returns_the_old_and_new_model(
    manager: ModelManager, metrics: Metrics
) -> None:
    assert await manager.reload("second") == Change(FIRST, SECOND)
    assert serving(manager) == SECOND
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (1, 0)


async def test_without_a_name_the_serving_bundle_is_read_again(manager: ModelManager) -> None:
    await manager.reload("second")
    before = manager.models.current
    assert await manager.reload() == Change(SECOND, SECOND)
    assert manager.models.current is not before
    await manager.reload("first")
    await manager.roll_back()
    assert await manager.reload() == Change(SECOND, SECOND)  # of what serves now


async def test_the_bundle_that_was_tried_is_loaded_whatever_its_address_has_by_then(
    make: Make, manager: ModelManager
) -> None:
    there = iter(["second", "third"])
    tried: list[str] = []
    loaded: list[Origin] = []

    async def attempt(directory: str) -> None:
        tried.append(directory)

    def load(origin: Origin, default: bool) -> Loaded:
        loaded.append(origin)
        return make(origin, default)

    manager.fetch = lambda bundle: next(there) if bundle == "s3://bucket/shop" else bundle
    manager.attempt, manager.load = attempt, load
    await manager.reload("s3://bucket/shop")
    assert (tried, [origin.bundle for origin in loaded]) == (["second"], ["second"])
    assert manager.state.models["greys"].current.bundle == "s3://bucket/shop"
    await manager.reload()
    assert tried == ["second", "third"]


@pytest.mark.parametrize(("source", "error"), [("bad", BundleRefused), ("worse", ReloadRefused)])
async def test_a_bundle_that_does_not_load_changes_nothing(
    manager: ModelManager, metrics: Metrics, source: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as refused:
        await manager.reload(source)
    assert source in str(refused.value)
    assert "\n" not in str(refused.value)
    assert serving(manager) == FIRST
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (0, 1)
    assert await manager.reload() == Change(FIRST, FIRST)


async def test_a_rollback_is_counted_and_returned_as_a_change(
    manager: ModelManager, metrics: Metrics
) -> None:
    with pytest.raises(ReloadRefused):
        await manager.roll_back()
    await manager.reload("second")
    assert await manager.roll_back() == Change(SECOND, FIRST)
    assert await manager.roll_back() == Change(FIRST, SECOND)
    assert serving(manager) == SECOND
    assert (counted(metrics, "ok"), counted(metrics, "refused")) == (3, 1)


async def test_a_refused_rollback_records_nothing(make: Make, metrics: Metrics) -> None:
    noted: list[ServingState] = []
    manager = managed(make, metrics, remember=noted.append)
    with pytest.raises(ReloadRefused, match="no previous model"):
        await manager.roll_back()
    assert noted == []


async def test_only_one_change_runs_at_a_time_while_the_old_model_serves(
    make: Make, metrics: Metrics
) -> None:
    loading, release = threading.Event(), threading.Event()

    def slow(origin: Origin, default: bool) -> Loaded:
        loading.set()
        assert release.wait(HANG)
        return make(origin, default)

    manager = managed(make, metrics, slow)

    first = asyncio.create_task(manager.reload("second"))
    assert await asyncio.to_thread(loading.wait, HANG)
    for other in (manager.reload("first"), manager.roll_back()):
        with pytest.raises(ReloadRefused, match="another change"):
            await other
    assert serving(manager) == FIRST
    release.set()
    assert await first == Change(FIRST, SECOND)
    assert await manager.roll_back() == Change(SECOND, FIRST)


ORDERS: list[tuple[dict[str, object], bool]] = [
    ({"order": "reload", "bundle": "second"}, True),
    ({"order": "reload", "bundle": None}, True),
    ({"order": "reload", "bundle": "bad"}, False),
    ({"order": "rollback"}, False),  # nothing has been replaced
    ({"order": "reload"}, False),
    ({"order": "reload", "bundle": 5}, False),
    ({"order": "reload", "bundle": None, "soon": True}, False),
    ({"order": "reload", "bundle": "second", "model": "greys"}, True),
    ({"order": "reload", "bundle": "second", "model": "other"}, False),
    ({"order": "reload", "bundle": "second", "model": 5}, False),
    ({"order": "load", "bundle": "second"}, False),  # under the same name
    ({"order": "load", "bundle": None, "model": "shop"}, False),
    ({"order": "unload"}, False),
    ({"order": "unload", "model": "greys"}, False),  # the default
    ({"order": "default", "model": "shop"}, False),
    ({"order": "promote", "model": "greys"}, False),
    ({"order": "split", "parts": {"greys": 95}}, False),
    ({"order": "split", "parts": {"greys": "100"}}, False),
    ({"order": "split", "parts": {"greys": True}}, False),
    ({"order": "split"}, False),
    ({"order": "list", "soon": True}, False),
    ({"order": "stop"}, False),
    ({}, False),
]


@pytest.mark.parametrize(("order", "ok"), ORDERS, ids=str)
async def test_an_order_is_obeyed_or_refused_in_one_line(
    manager: ModelManager, order: dict[str, object], ok: bool
) -> None:
    answer = await Orders(manager, None).obey(order)
    assert answer["ok"] is ok
    if ok:
        assert answer["old"] == FIRST._asdict()
        assert answer["new"] == serving(manager)._asdict()
    else:
        assert len(answer["error"].splitlines()) == 1
        assert serving(manager) == FIRST


async def test_a_model_is_loaded_made_the_default_and_unloaded_by_name(
    manager: ModelManager,
) -> None:
    assert await manager.add("shop", "second") == Change(None, ModelId("shop", "second"))
    assert await manager.add("shop@next", "third") == Change(None, ModelId("shop@next", "third"))
    catalogue = manager.models.catalogue
    assert [model.key for model in catalogue.models] == ["greys", "shop", "shop@next"]
    assert catalogue.versions("shop") == ("second", "third")
    assert await manager.make_default("shop") == Change(FIRST, ModelId("shop", "second"))
    assert manager.models.current.labels.model.name == "shop"
    with pytest.raises(ReloadRefused, match="is the default"):
        await manager.remove("shop")
    await manager.make_default("greys")
    with pytest.raises(ReloadRefused, match="unload it first"):
        await manager.remove("shop")
    for key in ("shop@next", "shop"):
        engine = manager.models.of(key).engine
        await manager.remove(key)
        assert isinstance(engine, CountingEngine)
        assert engine.closed
    assert serving(manager) == FIRST


async def test_an_unloaded_model_is_loaded_again_by_its_name_alone(manager: ModelManager) -> None:
    await manager.add("shop", "second")
    await manager.remove("shop")
    assert manager.models.catalogue.absent == (("shop", Absence.UNLOADED),)
    assert await manager.add("shop") == Change(None, ModelId("shop", "second"))
    assert not manager.models.catalogue.absent


async def test_each_model_is_reloaded_and_rolled_back_alone(manager: ModelManager) -> None:
    await manager.add("shop", "second")
    third, second = ModelId("shop", "third"), ModelId("shop", "second")
    assert await manager.reload("third", "shop") == Change(second, third)
    with pytest.raises(ReloadRefused, match="no previous model"):
        await manager.roll_back()
    assert await manager.roll_back("shop") == Change(third, second)
    assert manager.models.current.labels.model == FIRST


async def test_two_models_never_have_one_name(manager: ModelManager) -> None:
    await manager.add("shop", "second")
    for key, bundle in (("shop", "third"), ("greys", "third"), (None, "third"), (None, "shop")):
        with pytest.raises(ReloadRefused, match="already"):
            await manager.add(key, bundle)
    with pytest.raises(ReloadRefused, match="beside which"):
        await manager.add("other@next", "third")
    assert [model.key for model in manager.models.catalogue.models] == ["greys", "shop"]


@pytest.mark.parametrize("bundle", ["bad", "worse"])
def test_a_model_that_does_not_load_at_the_start_leaves_the_others(
    manager: ModelManager, metrics: Metrics, bundle: str
) -> None:
    manager.begin(Origin.of("shop", bundle))
    manager.begin(Origin.of("shop2", "second"))
    catalogue = manager.models.catalogue
    assert [model.key for model in catalogue.models] == ["greys", "shop2"]
    assert catalogue.absent == (("shop", Absence.FAILED),)
    failed = metrics.registry.get_sample_value("greengrocer_model_failed", {"model": "shop"})
    assert failed == 1


def failed(metrics: Metrics) -> set[str]:
    """The models of which the metrics say that they could not be loaded."""
    lines = metrics.render()[0].decode().splitlines()
    told = (line for line in lines if line.startswith("greengrocer_model_failed{"))
    return {line.split('"')[1] for line in told if line.endswith(" 1.0")}


@pytest.mark.parametrize("named", [True, False], ids=["by its name", "by its bundle"])
async def test_a_model_that_failed_and_is_repaired_is_failed_no_more(
    make: Make, metrics: Metrics, named: bool
) -> None:
    broken = {"runs/My Shop.2"}

    def load(origin: Origin, default: bool) -> Loaded:
        if origin.bundle in broken:
            raise BundleRefused("broken")
        loaded = make(origin._replace(name="own"), default)
        return loaded._replace(origin=origin)

    manager = managed(make, metrics, load)
    manager.begin(Origin.parsed("runs/My Shop.2"))
    assert failed(metrics) == {"my-shop-2"}
    with pytest.raises(ModelFailed):
        manager.models.catalogue.find("my-shop-2")
    broken.clear()
    await (manager.add("my-shop-2") if named else manager.add(None, "runs/My Shop.2"))
    assert [model.key for model in manager.models.catalogue.models] == ["greys", "own"]
    assert failed(metrics) == set()


async def test_a_model_that_failed_is_failed_no_more_once_another_has_its_name(
    make: Make, metrics: Metrics
) -> None:
    manager = managed(make, metrics, lambda o, d: make(o._replace(name=o.name or o.bundle), d))
    manager.begin(Origin.of("shop", "bad"))
    manager.load = lambda o, d: make(o._replace(name="shop"), d)
    await manager.reload("second")
    assert [model.key for model in manager.models.catalogue.models] == ["shop"]
    assert failed(metrics) == set()


def test_models_that_fail_have_keys_of_their_own(make: Make, metrics: Metrics) -> None:
    manager = managed(make, metrics, lambda o, d: make(o._replace(bundle="bad"), d))
    for source in ("a/bad", "b/bad", "greys=bad"):
        manager.begin(Origin.parsed(source))
    assert failed(metrics) == {"bad", "bad-2", "greys-2"}


async def test_a_model_is_counted_under_its_present_key_only(make: Make, metrics: Metrics) -> None:
    manager = managed(make, metrics)
    assert manager.admission is not None
    await manager.add("greys@next", "second")
    await manager.promote("greys@next")
    manager.load = lambda o, d: make(o._replace(name="shop"), d)
    await manager.reload("second")
    assert manager.admission.paces.keys() == {"shop"}
    await manager.roll_back()
    assert manager.admission.paces.keys() == {"greys"}


async def test_a_change_that_cannot_be_recorded_is_not_made(make: Make, metrics: Metrics) -> None:
    def full(_: ServingState) -> None:
        raise OSError(28, "No space left on device")

    manager = managed(make, metrics, remember=full)
    for change in (manager.add("shop", "second"), manager.reload("second")):
        with pytest.raises(ReloadRefused, match="cannot be recorded: No space"):
            await change
    assert serving(manager) == FIRST


async def test_the_pace_of_a_model_is_known_once_it_is_loaded(manager: ModelManager) -> None:
    assert manager.admission is not None
    await manager.add("shop", "second")
    with manager.admission.admit("shop"):
        assert manager.admission.expected_wait() == pytest.approx(0.01)


async def test_a_version_beside_a_model_gets_a_part_and_is_promoted_and_back(
    manager: ModelManager,
) -> None:
    await manager.add("greys@next", "second")
    with pytest.raises(ReloadRefused, match="95 in all"):
        await manager.split({"greys": 95})
    with pytest.raises(ReloadRefused, match="must name greys itself"):
        await manager.split({"greys@next": 100})
    parts = await manager.split({"greys@next": 5, "greys": 95})
    assert parts == (("greys", 95), ("greys@next", 5))
    assert manager.models.catalogue.splits == {"greys": parts}
    with pytest.raises(ReloadRefused, match="models split greys=100"):
        await manager.remove("greys@next")
    next_pipeline = manager.models.of("greys@next")
    assert await manager.promote("greys@next") == Change(FIRST, SECOND)
    assert manager.models.current is next_pipeline
    assert [model.key for model in manager.models.catalogue.models] == ["greys"]
    assert manager.models.catalogue.splits == {}
    assert await manager.roll_back() == Change(SECOND, FIRST)
    assert serving(manager) == FIRST


async def test_a_split_ends_with_all_for_the_model_itself(manager: ModelManager) -> None:
    await manager.add("greys@next", "second")
    await manager.add("shop", "third")
    with pytest.raises(ReloadRefused, match="versions of one model"):
        await manager.split({"greys": 95, "shop": 5})
    await manager.split({"greys": 0, "greys@next": 100})
    await manager.split({"greys": 100})
    assert manager.models.catalogue.splits == {}
    await manager.remove("greys@next")
