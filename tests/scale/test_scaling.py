"""Replicas are added and removed with the load and with their nodes."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from support.load import load
from support.make_images import jpeg
from support.ray_cluster import Cluster
from support.waiting import until
from support.wire import exchange, post

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

MOST = 3
LONG = 600.0  # seconds: a reload of HAProxy that hangs is tried thrice, 120 each
# Serve's own pace, which is made for minutes, quickened.
SCALING = {
    "min_replicas": 1,
    "max_replicas": MOST,
    "target_ongoing_requests": 2,
    "look_back_period_s": 3,
    "upscale_delay_s": 1,
    "downscale_delay_s": 2,
}


def test_replicas_grow_and_shrink_with_the_load(cluster: Cluster, heavy_bundle: Path) -> None:
    cluster.deploy(
        heavy_bundle,
        {"max_queue_seconds": 60, "request_timeout_seconds": 60},
        {"autoscaling_config": SCALING},
    )
    cluster.until_running(1)
    with load(cluster.head.url, jpeg(250), 1) as few:
        with load(cluster.head.url, jpeg(250), 5 * MOST) as many:
            until(lambda: len(cluster.replicas()) == MOST, LONG)
        until(lambda: len(cluster.replicas()) == 1, LONG)
        few.until_more(20)
    assert not few.others | many.others


def test_when_a_node_is_lost_only_its_own_requests_fail(
    cluster: Cluster, fake_bundle: Path
) -> None:
    whole = {"engine": "fake", "num_cpus": 2, "min_replicas": 2, "max_replicas": 2}
    cluster.deploy(fake_bundle, whole)
    cluster.until_running(2)
    assert len({replica["node_ip"] for replica in cluster.replicas()}) == 2
    with witnesses(cluster.head.url, 8) as seen:
        until(lambda: len(seen) > 500)
        killed = time.monotonic()
        cluster.lose(cluster.nodes[1])
        until(lambda: len(seen) > 500 and seen[-1][0] > killed + 10, LONG)
    failed = [(started - killed, status) for started, status in seen if status != 200]
    assert not [each for each in failed if each[0] > 0]
    assert len(failed) <= 8
    cluster.add()
    cluster.until_running(2)
    until(cluster.nodes[1].answers)
    assert exchange(cluster.nodes[1].url, post(jpeg(250))).status == 200


@contextmanager
def witnesses(url: str, clients: int) -> Iterator[list[tuple[float, int]]]:
    """Clients who note, of each request, when it began and its status; 0: no answer came."""
    seen: list[tuple[float, int]] = []
    end = threading.Event()
    request = post(jpeg(250))

    def client() -> None:
        while not end.is_set():
            started, status = time.monotonic(), 0
            with suppress(OSError, AssertionError, KeyError):
                status = exchange(url, request).status
            seen.append((started, status))

    with ThreadPoolExecutor(clients) as pool:
        done = [pool.submit(client) for _ in range(clients)]
        try:
            yield seen
        finally:
            end.set()
    for each in done:
        each.result()
