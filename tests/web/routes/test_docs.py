"""``/docs`` and ``/openapi.json``: complete, true, and loaded from this host only."""

from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from greengrocer.answer_json import KINDS
from greengrocer.imaging.formats import media_types
from greengrocer.web.schemas import Problem
from greengrocer.web.table import ENDPOINTS

METHODS = {each.path: each.method.lower() for each in ENDPOINTS if each.summary}


class Page(HTMLParser):
    """The addresses that a page loads from, and its inline scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self._inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [v for k in ("src", "href") if (v := found.get(k))]
        self._inline = tag == "script" and "src" not in found

    def handle_data(self, data: str) -> None:
        if self._inline:
            self.scripts.append(data)

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inline = False


@pytest.fixture
def page(client: httpx.Client) -> Page:
    page = Page()
    page.feed(client.get("/docs").text)
    return page


@pytest.fixture
def schema(client: httpx.Client) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def references(node: Any) -> list[str]:
    """Every ``$ref`` in a description."""
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def test_the_page_loads_from_this_host_alone(client: httpx.Client, page: Page) -> None:
    assert "://" not in client.get("/docs").text
    assert [load for load in page.loads if load.startswith("docs/assets/")]
    for load in page.loads:
        assert load.startswith(("docs/assets/", "data:"))
        if not load.startswith("data:"):
            response = client.get(f"/{load}")
            assert response.status_code == 200
            assert len(response.content) > 10_000


def test_the_pages_policy_allows_its_own_script_and_no_other_host(
    client: httpx.Client, page: Page
) -> None:
    policy = client.get("/docs").headers["content-security-policy"]
    assert "://" not in policy
    assert "default-src 'none'" in policy
    (script,) = page.scripts
    assert f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" in policy
    assert '"openapi.json"' in script


def test_the_frameworks_own_pages_are_absent(client: httpx.Client) -> None:
    for path in ("/redoc", "/docs/oauth2-redirect", "/docs/"):
        assert client.get(path).status_code == 404


def test_every_route_is_described(schema: dict[str, Any]) -> None:
    assert {path: [*methods] for path, methods in schema["paths"].items()} == {
        path: [method] for path, method in METHODS.items()
    }
    for path, method in METHODS.items():
        assert schema["paths"][path][method]["summary"]


def test_every_reference_resolves(schema: dict[str, Any]) -> None:
    found = references(schema)
    assert "#/components/schemas/Problem" in found
    for reference in found:
        node = schema
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_refusal_of_an_image_is_described(schema: dict[str, Any]) -> None:
    responses = schema["paths"]["/predict"]["post"]["responses"]
    # nobody is there to read a 499, a service without keys has no 401, 501 is of /explain, and 404
    # of a model that a path names
    told = {kind.status for kind in KINDS.values()} - {401, 404, 499, 501}
    assert {int(status) for status in responses} == told | {200, 500}
    assert "501" in schema["paths"]["/explain"]["post"]["responses"]
    assert "404" in schema["paths"]["/models/{name}/predict"]["post"]["responses"]
    for status in told:
        assert [*responses[str(status)]["content"]] == ["application/problem+json"]
    assert "Retry-After" in responses["429"]["headers"]


def test_the_problem_is_described_as_it_is_sent(schema: dict[str, Any]) -> None:
    described = schema["components"]["schemas"]["Problem"]
    assert set(described["properties"]) == set(Problem.model_fields)
    assert set(described["required"]) == set(Problem.model_fields) - {"instance", "model"}


def test_what_may_be_absent_has_no_default(schema: dict[str, Any]) -> None:
    """Generators of types take a property with a default for one that is always there."""
    schemas = schema["components"]["schemas"]
    may_be_absent = {
        f"{kind}.{name}": described
        for kind, each in schemas.items()
        for name, described in each.get("properties", {}).items()
        if name not in each.get("required", ())
    }
    assert {"Problem.model", "PredictionLine.evidence", "InferResponse.id"} <= may_be_absent.keys()
    assert [name for name, described in may_be_absent.items() if "default" in described] == []


def test_the_upload_may_be_a_form_or_an_image(schema: dict[str, Any]) -> None:
    content = schema["paths"]["/predict"]["post"]["requestBody"]["content"]
    raw = {*media_types(), "application/octet-stream"}
    assert set(content) == {"multipart/form-data", *raw}
    form = content["multipart/form-data"]["schema"]
    assert form["required"] == ["file"]
    assert form["properties"]["file"]["format"] == "binary"
