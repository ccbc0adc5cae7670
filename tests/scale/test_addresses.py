"""A rate limit per address, behind a proxy between the client and the replica."""

from pathlib import Path

import httpx
import pytest

from support.make_images import jpeg
from support.ray_cluster import Cluster
from support.waiting import until

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

LIMIT = 1000
BALANCER = "127.0.0.9"  # where its connections come from


@pytest.fixture(scope="module")
def url(cluster: Cluster, fake_bundle: Path) -> str:
    """Where the one replica is reached, which counts for addresses."""
    arguments = {
        "engine": "fake",
        "rate_limit_per_address": f"{LIMIT}/day",
        "trusted_proxies": ["127.0.0.0/8"],
    }
    cluster.deploy(fake_bundle, arguments)
    cluster.until_running(1)
    until(cluster.head.answers)
    return cluster.head.url


def asked(url: str, source: str, **headers: str) -> int:
    """How many requests its address has made, when it has made one more."""
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport) as client:
        answer = client.post(f"{url}/predict", files={"file": jpeg(100)}, headers=headers)
    assert answer.status_code == 200
    (standing,) = answer.headers["ratelimit"].split(",")
    fields = dict(field.split("=") for field in standing.split(";")[1:])
    return LIMIT - int(fields["r"])


def test_a_replica_sees_the_address_of_the_balancer_or_haproxy(cluster: Cluster, url: str) -> None:
    assert asked(url, BALANCER) == 1
    assert asked(url, "127.0.0.10") == (2 if cluster.haproxy else 1)


def test_the_client_that_a_trusted_proxy_names_is_used(url: str) -> None:
    for client in ("198.51.100.7", "198.51.100.8"):
        for count in (1, 2):
            assert asked(url, BALANCER, **{"X-Forwarded-For": client}) == count
