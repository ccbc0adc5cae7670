"""No request fails when the bundle changes under load."""

import shutil
from pathlib import Path

import httpx
import pytest

from greengrocer.bundles.manifest import GRAPH
from support.bundles import write_fake_bundle
from support.load import load
from support.make_images import jpeg
from support.ray_cluster import Cluster
from support.scrapes import sample, scrape
from support.waiting import until

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

CLIENTS = 4
REPLICAS = 2
REQUESTS = 10_000
LONG = 600.0  # seconds: for thousands of answers, on a machine that has much else to do


def test_none_of_ten_thousand_requests_fails_while_the_bundle_is_changed(
    cluster: Cluster, tmp_path: Path
) -> None:
    first = write_fake_bundle(tmp_path / "first")
    other = write_fake_bundle(tmp_path / "other", version="2")
    broken = tmp_path / "broken"
    shutil.copytree(first, broken)
    (broken / GRAPH).write_bytes(b"another graph than the manifest says")
    arguments = {
        "engine": "fake",
        "max_queue_seconds": 60,  # a machine that stands still for a second refuses nothing
        "min_replicas": REPLICAS,
        "max_replicas": REPLICAS,
        "metrics_port": cluster.ports.take(REPLICAS),
    }
    cluster.deploy(first, arguments)
    cluster.until_running(REPLICAS)
    replicas = {replica["replica_id"] for replica in cluster.replicas()}
    with load(cluster.head.url, jpeg(250), CLIENTS, kept=True) as clients:
        for bundle, version in ((other, "2"), (first, "1"), (other, "2")):
            cluster.deploy(bundle, arguments)
            cluster.until_running(REPLICAS)
            clients.until_more_of(version, 1000, LONG)
        cluster.deploy(broken, arguments)
        until(lambda: reloads(cluster, "refused") == REPLICAS)
        cluster.until_running(REPLICAS)
        served = clients.versions["1"]
        clients.until_more(max(1000, REQUESTS - clients.statuses[200]), LONG)
    assert not clients.others
    assert clients.statuses[200] >= REQUESTS
    assert clients.versions["1"] == served  # the one before it serves on
    assert reloads(cluster, "ok") == 3 * REPLICAS
    # in place: no replica was stopped or started
    assert {replica["replica_id"] for replica in cluster.replicas()} == replicas


def reloads(cluster: Cluster, result: str) -> float:
    """How many changes all replicas have counted."""
    counted = 0.0
    for number in range(REPLICAS):
        port = cluster.metrics_port() + number
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            counted += sample(scrape(client), "reloads_total", result=result)
    return counted
