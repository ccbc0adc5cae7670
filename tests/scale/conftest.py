"""Clusters of two nodes for all tests that need one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.ballast import write_heavy_bundle
from support.ray_cluster import Cluster, build


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One behind Serve's own proxies."""
    with two_nodes() as running:
        yield running


@pytest.fixture(scope="module")
def haproxy_cluster() -> Iterator[Cluster]:
    """One behind HAProxy."""
    with two_nodes(haproxy=True) as running:
        yield running


@contextmanager
def two_nodes(haproxy: bool = False) -> Iterator[Cluster]:
    """A head and another node, each with two processors to give away."""
    build()
    running = Cluster(haproxy=haproxy)
    try:
        running.add()
        running.add()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def heavy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on which one picture takes long enough for others to queue."""
    return write_heavy_bundle(tmp_path_factory.mktemp("bundles") / "heavy", 150)
