"""Clusters of two nodes for all tests that need one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ballast import write_heavy_bundle
from support.ray_cluster import Cluster, build


@pytest.fixture(scope="session", params=[False, True], ids=["own-proxies", "haproxy"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A head and another node, each with two processors to give away.

    All tests that ask for it run behind Serve's own proxies, and then all behind HAProxy.
    """
    build()
    running = Cluster(haproxy=request.param)
    try:
        running.add()
        running.add()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def heavy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on which one image takes long enough for others to queue."""
    return write_heavy_bundle(tmp_path_factory.mktemp("bundles") / "heavy", 150)
