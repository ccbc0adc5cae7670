"""The service through each node's proxy: answers, refusals, probes, ids, metrics."""

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from support.make_images import jpeg
from support.problems import problem_of
from support.processes import command, listening
from support.ray_cluster import (
    ORIGIN,
    PROGRAMS,
    Cluster,
    Node,
)
from support.scrapes import sample, scrape
from support.suite import LONG, pass_suite, passed, whole_suite
from support.waiting import until
from support.wire import exchange, head, post

pytestmark = [pytest.mark.accept, pytest.mark.leg("Ray")]

# In Ray's environment: asks an address, with a token where there is one.
ASKED = """
import grpc, sys
address, *token = sys.argv[1:]
ask = grpc.insecure_channel(address).unary_unary("/ray.rpc.RayletDriver/ClusterInfo")
try:
    ask(b"", 60, [("authorization", f"Bearer {each}") for each in token])
except grpc.RpcError as error:
    print(error.code().name, end="")
"""
COUNT = 2  # of the replicas: one a node
# Of the suite: what a proxy or balancer answers in our place,
BALANCERS = {
    "test_bodies.py::test_a_malformed_chunk_is_refused",
    "test_bodies.py::test_a_chunked_body_is_refused_as_soon_as_it_passes_the_limit",
    "test_bodies.py::test_a_declared_length_over_the_limit_is_refused_before_the_body_arrives",
    "test_bodies.py::test_chunk_extensions_and_trailers_are_bounded",
    "test_forms.py::test_a_form_of_many_images_over_the_limit_is_refused_before_it_arrives",
    "test_incidents.py::test_h11_cve_2025_43859_a_bad_chunk_end",
    "test_incidents.py::test_slow_upload_two_hundred_clients_of_one_byte_a_second",
    "test_incidents.py::test_starlette_cve_2026_48710_a_bad_host",
    "test_tensors.py::test_tensors_may_be_as_long_as_the_limit",
}
BALANCERS_FILES = ("test_connections.py", "test_heads.py")
GRPC_FILES = ("test_grpc.py", "test_grpc_refusals.py")  # replicas answer HTTP only
# and what is asked of the service's processes, which the suite does not know here.
PROCESSES = {
    "test_incidents.py::test_infinity_telemetry_no_connection_goes_out",
    "test_incidents.py::test_pillow_bombs_are_refused_by_their_header",
    "test_incidents.py::test_starlette_cve_2023_30798_cve_2024_47874_large_forms",
    "test_incidents.py::test_triton_cve_2025_33201_one_byte_over_the_cap",
    "test_memory.py::test_a_flood_of_pipelined_requests_takes_little_memory_and_blocks_no_request",
    "test_memory.py::test_a_refused_image_leaves_no_memory_behind_by_any_route",
    "test_memory.py::test_refused_images_leave_no_memory_behind",
    "test_memory.py::test_refused_uploads_leave_no_memory_behind",
    "test_memory.py::test_stalled_uploads_leave_no_memory_behind",
    "test_images.py::test_a_decompression_bomb_stays_within_the_memory_limit",
    "test_images.py::test_a_decode_over_its_time_budget_is_stopped",
    "test_images.py::test_memory_does_not_grow_without_bound",
    "test_tensors.py::test_json_that_is_slow_to_parse_is_refused_at_once",
}


@pytest.fixture(scope="module")
def service(cluster: Cluster, fake_bundle: Path) -> Cluster:
    """A replica on each node.

    Ray tries a reload of HAProxy three times and then waits until replicas change: where it gave
    up, which a busy machine is enough for, they are deployed once more.
    """
    try:
        return deployed(cluster, fake_bundle)
    except AssertionError:
        return deployed(cluster, fake_bundle)


def deployed(cluster: Cluster, bundle: Path) -> Cluster:
    """The cluster, once each node's proxy knows of new replicas."""
    arguments = {
        "engine": "fake",
        "num_cpus": 2,
        "min_replicas": COUNT,
        "max_replicas": COUNT,
        "metrics_port": cluster.ports.take(COUNT),
    }
    cluster.deploy(bundle, arguments)
    cluster.until_running(COUNT)
    cluster.until_answering()
    return cluster


@pytest.fixture(params=["head", "other"])
def url(service: Cluster, request: pytest.FixtureRequest) -> str:
    """Where the proxy of a node is."""
    node: Node = service.nodes[request.param == "other"]
    return node.url


def test_each_node_has_a_replica(service: Cluster) -> None:
    found = {replica["node_ip"] for replica in service.replicas()}
    assert found == {node.address for node in service.nodes}


def test_the_proxies_are_the_configured_ones(service: Cluster) -> None:
    for node in service.nodes:
        assert ("haproxy" in map(program, node.pids)) == service.haproxy


def test_the_replicas_pass_the_suite_except_what_the_balancer_does(
    service: Cluster, tmp_path: Path
) -> None:
    printed = pass_suite(service.head.url, tmp_path, "-m", "not wire", "--images=3", "-vv")
    suite = whole_suite()
    left_out = {test for test in suite if test.startswith((*BALANCERS_FILES, *GRPC_FILES))}
    assert suite - passed(printed) == BALANCERS | left_out | PROCESSES


def test_a_setting_in_the_environment_of_the_nodes_is_honoured(url: str) -> None:
    answer = exchange(url, post(jpeg(100), f"Origin: {ORIGIN}"))
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_request_keeps_its_request_id(url: str) -> None:
    for body, status in ((jpeg(100), 200), (b"no image", 400)):
        answer = exchange(url, post(body, "X-Request-Id: till-7"))
        assert answer.status == status
        assert answer.headers.get_list("x-request-id") == ["till-7"]
        assert json.loads(answer.body)["request_id"] == "till-7"


def test_a_request_without_a_request_id_gets_one(url: str) -> None:
    answer = exchange(url, post(jpeg(100)))
    (request_id,) = answer.headers.get_list("x-request-id")
    assert json.loads(answer.body)["request_id"] == request_id
    refused = exchange(url, post(b""))
    assert problem_of(refused.status, refused.headers, refused.body).code == "empty-image"


def test_probes_are_answered_by_a_replica_and_by_the_proxy(url: str) -> None:
    assert json.loads(exchange(url, head("GET", "/readyz")).body) == {"status": "ready"}
    assert exchange(url, head("GET", "/livez")).status == 200
    assert httpx.get(f"{url}/-/healthz").status_code == 200


def test_each_replica_serves_its_own_metrics_and_the_proxy_none(service: Cluster) -> None:
    first = service.metrics_port()
    before = sum(told(first + k) for k in range(COUNT))
    for node in service.nodes * 10:
        assert exchange(node.url, post(jpeg(100))).status == 200
    assert sum(told(first + k) for k in range(COUNT)) == before + 20
    assert exchange(service.head.url, head("GET", "/metrics")).status == 404


def told(port: int) -> float:
    """How many predictions a replica has counted."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        return sample(scrape(client), "requests_total", route="/predict", status="200")


def test_private_ports_listen_on_loopback_only(service: Cluster) -> None:
    """Whoever reaches the dashboard or the port for jobs runs what he likes (CVE-2023-48022)."""
    ports = {service.dashboard, service.client, *(node.agent for node in service.nodes)}
    found = service.listening(ports)
    assert {port for _, port in found} == ports
    assert not [each for each in found if not each[0].startswith("127.")]


def test_no_job_is_accepted_without_the_token(service: Cluster) -> None:
    job = {"entrypoint": "true"}
    paths = {service.dashboard: "/api/jobs/"}
    paths |= {node.agent: "/api/job_agent/jobs/" for node in service.nodes}
    found = service.listening(paths.keys())
    assert {port for _, port in found} == paths.keys()
    for address, port in found:
        url = f"http://{address}:{port}{paths[port]}"
        assert httpx.post(url, json=job).status_code == 401
        # with it, what is no job is looked at
        assert httpx.post(url, json={}, headers=service.key).status_code == 400
    assert service.ask("/api/jobs/") == []


def test_no_client_is_accepted_without_the_token(service: Cluster) -> None:
    for address, port in service.listening({service.client}):
        assert asked(address, port) == "UNAUTHENTICATED"
        # with it, what is asked is looked at: it is of no client that was there before
        assert asked(address, port, service.token) == "NOT_FOUND"


def test_no_port_is_more_exposed_than_the_guide_says(service: Cluster) -> None:
    first = service.metrics_port()
    own = range(first, first + COUNT)
    assert service.listening(own) == {("127.0.0.1", port) for port in own}
    replicas = service.listening(service.ports.replicas)
    assert [address for address, _ in replicas] == ["127.0.0.1"] * (service.haproxy * COUNT)
    fallback = {("127.0.0.1", service.fallback)} if service.haproxy else set()
    assert service.listening({service.fallback}) == fallback
    for node in service.nodes:
        here = ("127.0.0.1", urlsplit(node.url).port or 80)
        assert service.listening({here[1]}) == {here}
        haproxies = [pid for pid in node.pids if program(pid) == "haproxy"]
        figures = {each for pid in haproxies for each in listening(pid)} - {here}
        assert [address for address, _ in figures] == ["0.0.0.0"] * (service.haproxy * 2)


def program(pid: int) -> str:
    """The name of what a process runs."""
    return Path((command(pid) or [""])[0]).name


def asked(address: str, port: int, *token: str) -> str:
    """What Ray's port for its client says to a question of its protocol."""
    return subprocess.run(
        [PROGRAMS / "python", "-c", ASKED, f"{address}:{port}", *token],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def test_no_usage_is_reported(service: Cluster) -> None:
    assert not service.reports_usage()


def test_bad_settings_are_reported_and_the_old_application_keeps_serving(
    service: Cluster, fake_bundle: Path
) -> None:
    service.deploy(fake_bundle, {"port": 80})
    until(lambda: service.status()["status"] == "DEPLOY_FAILED", LONG)
    assert "setting port does not belong in args" in service.status()["message"]
    assert exchange(service.head.url, post(jpeg(100))).status == 200
