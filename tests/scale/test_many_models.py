"""One deployment serves several models, which are changed while they answer."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bundles import write_fake_bundle
from support.load import load
from support.make_images import jpeg
from support.ray_cluster import Cluster
from support.waiting import until
from support.wire import exchange, head, post

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

REPLICAS = 2
LONG = 600.0  # seconds: a reload of HAProxy that hangs is tried thrice, 120 each
ARGUMENTS = {"engine": "fake", "max_queue_seconds": 60, "min_replicas": REPLICAS, "max_replicas": 2}


def test_models_are_loaded_changed_and_unloaded_while_others_answer(
    cluster: Cluster, tmp_path: Path
) -> None:
    one, two = (write_fake_bundle(tmp_path / version, version=version) for version in "12")
    url = cluster.head.url

    def deploy(**models: Path) -> None:
        named = {name: str(bundle) for name, bundle in models.items()}
        user_config = {"bundle": str(one), "models": named}
        cluster.deploy(one, ARGUMENTS, {"user_config": user_config})
        cluster.until_running(REPLICAS)

    def served() -> dict[str, str]:
        listed = json.loads(exchange(url, head("GET", "/models")).body)["models"]
        return {model["name"]: model["version"] for model in listed}

    def everywhere(ask: Callable[[], bool]) -> bool:
        """Whether the replicas agree, any of which may answer."""
        return all(ask() for _ in range(8 * REPLICAS))

    deploy(shop=one, old=one)
    until(lambda: everywhere(lambda: served() == {"greys": "1", "shop": "1", "old": "1"}), LONG)
    replicas = {replica["replica_id"] for replica in cluster.replicas()}
    with load(url, jpeg(250), 2, kept=True) as clients:
        deploy(shop=two, new=two)
        until(lambda: everywhere(lambda: served() == {"greys": "1", "shop": "2", "new": "2"}), LONG)
        clients.until_more(100, LONG)
    assert not clients.others
    for name, status in (("shop", 200), ("new", 200), ("old", 404)):
        answer = exchange(url, post(jpeg(250), target=f"/models/{name}/predict"))
        assert answer.status == status
    # in place: no replica was stopped or started
    assert {replica["replica_id"] for replica in cluster.replicas()} == replicas
