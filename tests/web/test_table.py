"""A new endpoint needs only its module and a line of the table."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from greengrocer.web.access.keys import add_key
from greengrocer.web.app import create_app
from greengrocer.web.endpoint import Endpoint
from greengrocer.web.service import Service
from greengrocer.web.table import ENDPOINTS
from support.access import bearer, closed
from support.live import served
from support.problems import problem_of
from support.scrapes import sample, scrape
from support.waiting import SECONDS


async def weigh(service: Service, request: Request) -> Response:
    """Stands for an endpoint that somebody adds."""
    name = request.path_params.get("name", service.classifier.labels.model.name)
    return PlainTextResponse(f"{name}: 1 kg")


ADDED = (
    Endpoint("GET", "/scales/{name}", weigh, "Weigh by name", name="weigh_by_name"),
    Endpoint("POST", "/scales", weigh, "Weigh", is_hot=True),
    Endpoint("GET", "/poster", weigh, is_open=True),
)


@pytest.fixture
def key(tmp_path: Path) -> str:
    return add_key(tmp_path / "keys", "till-1")


@pytest.fixture
def client(fake_bundle: Path, tmp_path: Path, key: str) -> Iterator[httpx.Client]:
    """A client without a key of a service with the endpoints above."""
    del key
    service = closed(fake_bundle, tmp_path / "keys", {"address": "1000/hour"})
    app = create_app(service, (*ENDPOINTS, *ADDED))
    try:
        with (
            served(app, service.readiness) as url,
            httpx.Client(base_url=url, timeout=SECONDS) as client,
        ):
            yield client
    finally:
        service.classifier.close()


def test_an_added_endpoint_answers_and_is_described(client: httpx.Client, key: str) -> None:
    assert client.get("/scales/plums", headers=bearer(key)).text == "plums: 1 kg"
    assert client.head("/scales/plums", headers=bearer(key)).status_code == 200
    assert client.post("/scales", headers=bearer(key)).text == "greys: 1 kg"
    paths = client.get("/openapi.json", headers=bearer(key)).json()["paths"]
    assert paths["/scales/{name}"]["get"]["operationId"] == "weigh_by_name"
    assert paths["/scales"]["post"]["summary"] == "Weigh"
    assert "/poster" not in paths


def test_an_added_endpoint_needs_a_key_and_is_counted(client: httpx.Client, key: str) -> None:
    for method, path in (("GET", "/scales/plums"), ("POST", "/scales")):
        refused = client.request(method, path)
        assert problem_of(401, refused.headers, refused.content).code == "unauthorized"
        answer = client.request(method, path, headers=bearer(key))
        assert answer.headers["ratelimit"].startswith('"address";r=')
    operation = client.get("/openapi.json", headers=bearer(key)).json()["paths"]["/scales"]["post"]
    assert operation["security"] == [{"key": []}]
    assert {"401", "429"} <= operation["responses"].keys()
    assert "ratelimit" not in client.get("/poster").headers


def test_an_added_endpoint_refuses_other_methods_and_paths(client: httpx.Client, key: str) -> None:
    for method, path, allowed in (
        ("DELETE", "/scales/plums", {"GET", "HEAD"}),
        ("GET", "/scales", {"POST"}),
    ):
        answer = client.request(method, path, headers=bearer(key))
        problem_of(405, answer.headers, answer.content)
        assert set(answer.headers["allow"].split(", ")) == allowed
    answer = client.get("/scales/plums/ripe", headers=bearer(key))
    problem_of(404, answer.headers, answer.content)


def test_the_metrics_know_an_added_endpoint_by_its_pattern(client: httpx.Client, key: str) -> None:
    client.get("/scales/plums", headers=bearer(key))
    client.get("/scales/pears", headers=bearer(key))
    client.post("/scales", headers=bearer(key))
    client.headers.update(bearer(key))
    samples = scrape(client)
    assert sample(samples, "requests_total", route="/scales/{name}", status="200") == 2
    assert sample(samples, "requests_total", route="/scales", status="200") == 1


def test_the_table_is_valid() -> None:
    assert len({(each.method, each.path) for each in ENDPOINTS}) == len(ENDPOINTS)
    names = [each.name or each.answer.__name__ for each in ENDPOINTS]
    assert len(set(names)) == len(names)
    assert not [each.path for each in ENDPOINTS if each.is_hot and ":" in each.path]


def test_only_pages_and_probes_accept_unknown_query_parameters(
    client: httpx.Client, key: str
) -> None:
    refused = client.post("/scales?unit=kg", headers=bearer(key))
    problem = problem_of(422, refused.headers, refused.content)
    assert problem.detail == 'there is no query parameter "unit": this path takes none'
    below_v2 = client.get("/v2/models/greys?unit=kg", headers=bearer(key))
    assert (below_v2.status_code, below_v2.json()) == (422, {"error": problem.detail})
    for path in ("/", "/livez", "/v2/health/ready", "/page/logo.svg", "/metrics", "/docs"):
        assert client.get(f"{path}?unit=kg", headers=bearer(key)).status_code == 200
