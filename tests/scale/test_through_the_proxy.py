"""The same service, through the proxy of either node: answers, refusals, probes, ids, metrics."""

import json
from pathlib import Path

import httpx
import pytest

from support.pictures import jpeg
from support.problems import problem_of
from support.processes import command
from support.ray_cluster import AGENT, CLIENT, Cluster, Node, free_ports
from support.scrapes import sample, scrape
from support.suite import LONG, pass_suite
from support.waiting import until
from support.wire import exchange, head, post

pytestmark = pytest.mark.accept

REPLICAS = 2


@pytest.fixture(scope="module", params=["cluster", "haproxy_cluster"])
def service(request: pytest.FixtureRequest, fake_bundle: Path) -> Cluster:
    """A replica on each node."""
    cluster: Cluster = request.getfixturevalue(request.param)
    arguments = {
        "engine": "fake",
        "num_cpus": 2,
        "min_replicas": REPLICAS,
        "max_replicas": REPLICAS,
        "metrics_port": free_ports(REPLICAS),
    }
    cluster.deploy(fake_bundle, arguments)
    cluster.until_running(REPLICAS)
    until(lambda: all(node.answers() for node in cluster.nodes))
    return cluster


@pytest.fixture(params=["head", "other"])
def url(service: Cluster, request: pytest.FixtureRequest) -> str:
    """Where the proxy of a node is."""
    node: Node = service.nodes[request.param == "other"]
    return node.url


def test_each_node_has_a_replica(service: Cluster) -> None:
    found = {replica["node_ip"] for replica in service.replicas()}
    assert found == {node.address for node in service.nodes}


def test_its_proxies_are_those_that_were_asked_for(service: Cluster) -> None:
    for node in service.nodes:
        programs = {Path((command(pid) or [""])[0]).name for pid in node.pids}
        assert ("haproxy" in programs) == service.haproxy


def test_it_passes_the_suite_but_for_what_is_the_balancers(
    service: Cluster, tmp_path: Path
) -> None:
    pass_suite(service.head.url, tmp_path, "-m", "not wire", "--pictures=3")


def test_a_request_keeps_its_id(url: str) -> None:
    for body, status in ((jpeg(100), 200), (b"no picture", 400)):
        answer = exchange(url, post(body, "X-Request-Id: till-7"))
        assert answer.status == status
        assert answer.headers.get_list("x-request-id") == ["till-7"]
        assert json.loads(answer.body)["request_id"] == "till-7"


def test_a_request_without_an_id_gets_one(url: str) -> None:
    answer = exchange(url, post(jpeg(100)))
    (request_id,) = answer.headers.get_list("x-request-id")
    assert json.loads(answer.body)["request_id"] == request_id
    refused = exchange(url, post(b""))
    assert problem_of(refused.status, refused.headers, refused.body).code == "empty-picture"


def test_probes_are_answered_by_a_replica_and_by_the_proxy(url: str) -> None:
    assert json.loads(exchange(url, head("GET", "/readyz")).body) == {"status": "ready"}
    assert exchange(url, head("GET", "/livez")).status == 200
    assert httpx.get(f"{url}/-/healthz").status_code == 200


def test_each_replica_tells_its_own_metrics_and_the_proxy_those_of_none(service: Cluster) -> None:
    first = service.metrics_port()
    before = sum(told(first + k) for k in range(REPLICAS))
    for node in service.nodes * 10:
        assert exchange(node.url, post(jpeg(100))).status == 200
    assert sum(told(first + k) for k in range(REPLICAS)) == before + 20
    assert exchange(service.head.url, head("GET", "/metrics")).status == 404


def told(port: int) -> float:
    """How many predictions a replica has counted."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        return sample(scrape(client), "requests_total", route="/predict", status="200")


def test_what_must_never_be_exposed_is_on_loopback(service: Cluster) -> None:
    """Whoever reaches the dashboard or the port for jobs runs what he likes (CVE-2023-48022)."""
    ports = {service.dashboard, CLIENT, AGENT}
    listening = service.listening(ports)
    assert {port for _, port in listening} == ports
    assert not [each for each in listening if not each[0].startswith("127.")]


def test_no_job_is_taken_without_the_token(service: Cluster) -> None:
    job = {"entrypoint": "true"}
    for address, port in service.listening({service.dashboard, AGENT}):
        for path in ("/api/jobs/", "/api/job_agent/jobs/"):
            assert httpx.post(f"http://{address}:{port}{path}", json=job).status_code in (401, 404)
    assert service.ask("/api/jobs/") == []


def test_nothing_is_reported(service: Cluster) -> None:
    assert not service.reports_usage()


def test_a_mistake_in_the_settings_is_told_and_what_was_there_serves_on(
    service: Cluster, fake_bundle: Path
) -> None:
    service.deploy(fake_bundle, {"port": 80})
    until(lambda: service.status()["status"] == "DEPLOY_FAILED", LONG)
    assert "setting port does not belong in args" in service.status()["message"]
    assert exchange(service.head.url, post(jpeg(100))).status == 200
