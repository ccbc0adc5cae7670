"""A replica serves the models that ``user_config`` names, and keeps what it cannot replace."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from greengrocer.assemble import Assembled, assemble
from greengrocer.bundles.manifest import GRAPH
from greengrocer.errors import UsageError
from greengrocer.scale.wanted_models import WantedModels, change_models
from greengrocer.settings import Settings
from support.bundles import write_fake_bundle

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Bundles of two versions, and one that is damaged."""
    folder = tmp_path_factory.mktemp("bundles")
    found = {version: write_fake_bundle(folder / version, version=version) for version in "12"}
    damaged = write_fake_bundle(folder / "damaged")
    (damaged / GRAPH).write_bytes(b"another graph than the manifest says")
    return {name: str(path) for name, path in {**found, "damaged": damaged}.items()}


@pytest.fixture
def began(bundles: dict[str, str]) -> WantedModels:
    """What the replica starts with."""
    one = bundles["1"]
    return WantedModels(one, {"shop": one, "bad": bundles["damaged"], "old": one})


@pytest.fixture
def replica(began: WantedModels) -> Iterator[Assembled]:
    """What a replica has assembled."""
    assembled = assemble(Settings(engine="fake", bundles=began.bundles))
    yield assembled
    assembled.service.close()


def serving(replica: Assembled) -> dict[str, str]:
    """The version of each model, by its key."""
    catalogue = replica.service.classifier.catalogue
    return {model.key: model.labels.model.version for model in catalogue.models}


async def test_models_are_loaded_changed_and_unloaded(
    replica: Assembled, began: WantedModels, bundles: dict[str, str]
) -> None:
    assert serving(replica) == {"greys": "1", "shop": "1", "old": "1"}
    two = bundles["2"]
    wanted = WantedModels(two, {"shop": two, "bad": two, "new": two})
    assert await change_models(replica.manager, began, wanted) == wanted
    assert serving(replica) == {"greys": "2", "shop": "2", "bad": "2", "new": "2"}


async def test_what_is_refused_leaves_its_model_and_the_others_are_changed(
    replica: Assembled, began: WantedModels, bundles: dict[str, str]
) -> None:
    damaged, two = bundles["damaged"], bundles["2"]
    wanted = WantedModels(damaged, {"shop": damaged, "bad": damaged, "new": damaged, "old": two})
    kept = await change_models(replica.manager, began, wanted)
    assert kept == WantedModels(began.bundle, {**began.models, "old": two})
    assert serving(replica) == {"greys": "1", "shop": "1", "old": "2"}
    # what was refused is tried again, and what serves is left alone
    before = replica.manager.models.of("old")
    repaired = wanted._replace(bundle=two, models={"bad": two, "old": two})
    assert await change_models(replica.manager, kept, repaired) == repaired
    assert serving(replica) == {"greys": "2", "bad": "2", "old": "2"}
    assert replica.manager.models.of("old") is before


async def test_the_default_model_may_have_a_name_which_changes_with_its_bundle(
    bundles: dict[str, str],
) -> None:
    named = [WantedModels(f"{name}={bundles[v]}", {}) for name, v in (("shop", "1"), ("shop", "2"))]
    others = [WantedModels(f"new={bundles['1']}", {}), WantedModels(bundles["2"], {})]
    began = WantedModels.parsed(named[0]._asdict())
    replica = assemble(Settings(engine="fake", bundles=began.bundles))
    seen = []
    for before, wanted in pairwise([*named, *others]):
        assert await change_models(replica.manager, before, wanted) == wanted
        seen.append(serving(replica))
    assert seen == [{"shop": "2"}, {"new": "1"}, {"greys": "2"}]
    replica.service.close()


def test_only_models_may_be_changed() -> None:
    assert WantedModels.parsed({"bundle": "fast"}) == WantedModels("fast", {})
    more = {"quick": "fast", "quick@next": "runs/a"}
    parsed = WantedModels.parsed({"bundle": "grocery", "models": more})
    assert parsed == WantedModels("grocery", more)
    for wrong in ({}, {"bundle": ""}, {"bundle": 1}, {"bundle": "a", "deadline": 1}, "fast", None):
        with pytest.raises(UsageError, match="user_config"):
            WantedModels.parsed(wrong)
    for wrong, why in (("shop@next=fast", "without a label"), ("quick=a", "two models are quick")):
        with pytest.raises(UsageError, match=why):
            WantedModels.parsed({"bundle": wrong, "models": {"quick": "fast"}})
    for models in ("fast", ["fast"], {"": "fast"}, {"shop": ""}, {"shop": 1}):
        with pytest.raises(UsageError, match="user_config"):
            WantedModels.parsed({"bundle": "a", "models": models})
    with pytest.raises(UsageError, match=r"'Shop' is not a model's name"):
        WantedModels.parsed({"bundle": "a", "models": {"Shop": "fast"}})


def test_the_setting_names_every_model_but_the_first() -> None:
    assert WantedModels.of(("grocery", "quick=fast")).bundles == ("grocery", "quick=fast")
    with pytest.raises(UsageError, match="fast needs a name here, as quick=fast"):
        WantedModels.of(("grocery", "fast"))
