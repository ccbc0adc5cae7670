"""Many models: each answers below its own path, and no route loads, unloads or changes one."""

import json
from typing import Any

import pytest

from conformance.answers import outcome, refused
from conformance.forms import FORM, form, part
from conformance.photos import jpeg, photo
from conformance.tensors import answered, asking, image, infer
from conformance.wire import exchange, head, post

PICTURE = jpeg(photo(7))
SPLIT_KEYS = [*(f"user-{number}" for number in range(20)), "\xff", "a" * 1000]


@pytest.fixture
def models(base_url: str) -> list[dict[str, Any]]:
    """What the service lists, the default first."""
    answer = exchange(base_url, head("GET", "/models"))
    assert answer.status == 200
    listed: list[dict[str, Any]] = json.loads(answer.body)["models"]
    assert [each["default"] for each in listed] == [True, *[False] * (len(listed) - 1)]
    assert len({each["name"] for each in listed}) == len(listed)
    return listed


def versions(models: list[dict[str, Any]], name: str) -> set[str]:
    """Those that may answer requests for a model: several where they share its requests."""
    beside = "" if "@" in name else f"{name}@"
    return {
        each["version"]
        for each in models
        if each["name"] == name or (beside and each["name"].startswith(beside))
    }


def answering(base_url: str, name: str, key: str) -> set[str]:
    """The versions that answer requests for a model with a split key: by two routes, each twice."""
    field = f"X-Split-Key: {key}"
    predict = post(PICTURE, field, target=f"/models/{name}/predict")
    tensors = infer(f"/v2/models/{name}", asking(image(PICTURE)), None, field)
    found = set()
    for _ in range(2):
        found.add(json.loads(exchange(base_url, predict).body)["model"]["version"])
        found.add(answered(exchange(base_url, tensors))["model_version"])
    return found


def test_each_model_answers_below_its_own_path(base_url: str, models: list[dict[str, Any]]) -> None:
    for model in models:
        home = f"/models/{model['name']}"
        answer = exchange(base_url, post(PICTURE, target=f"{home}/predict"))
        assert outcome(answer) == "ok"
        assert json.loads(answer.body)["model"]["version"] in versions(models, model["name"])
        names = json.loads(exchange(base_url, head("GET", f"{home}/class-names")).body)["classes"]
        assert len(names) == model["classes"]
        lines = exchange(
            base_url, post(form(part(PICTURE)), kind=FORM, target=f"{home}/predict/batch")
        )
        assert [json.loads(line)["index"] for line in lines.body.splitlines()] == [0]


def test_a_path_without_a_name_is_that_of_the_default(
    base_url: str, models: list[dict[str, Any]]
) -> None:
    home = f"/models/{models[0]['name']}"
    said = []
    for target in ("/predict", f"{home}/predict"):
        fields = json.loads(
            exchange(base_url, post(PICTURE, "X-Split-Key: till-7", target=target)).body
        )
        said.append({name: fields[name] for name in fields.keys() - {"request_id"}})
    assert said[0] == said[1]


def test_a_split_key_gets_the_same_version_each_time(
    base_url: str, models: list[dict[str, Any]]
) -> None:
    """By each route; and what has a label, as ``shop@next``, answers alone."""
    for model in models:
        for key in SPLIT_KEYS:
            (version,) = answering(base_url, model["name"], key)
            assert version in versions(models, model["name"])


@pytest.mark.parametrize("name", ["plums", "", "..", "%00", "%ff", "a" * 5000, "a%20b", "@next"])
@pytest.mark.parametrize("rest", ["/predict", "/predict/batch", "/explain", "/class-names", ""])
def test_an_unknown_name_is_refused(base_url: str, name: str, rest: str) -> None:
    target = f"/models/{name}{rest}"
    for request in (head("GET", target), post(PICTURE, target=target)):
        assert exchange(base_url, request).status in (404, 405, 415)


def test_no_model_is_named_in_a_query(base_url: str) -> None:
    answer = exchange(base_url, post(PICTURE, target="/predict?model=plums"))
    assert refused(answer) == "parameter-out-of-range"


@pytest.mark.parametrize(
    "target",
    [
        *("/models", "/models/plums", "/models/plums/load", "/models/plums/default"),
        *("/v2/repository/models/plums/load", "/v2/repository/models/plums/unload"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_route_changes_a_model(
    base_url: str, models: list[dict[str, Any]], method: str, target: str
) -> None:
    wanted = target.replace("plums", models[-1]["name"])
    answer = exchange(base_url, head(method, wanted, "Content-Length: 0"))
    assert answer.status in (404, 405)
    after = json.loads(exchange(base_url, head("GET", "/models")).body)["models"]
    assert after == models


def test_the_index_lists_every_version_once(base_url: str, models: list[dict[str, Any]]) -> None:
    for body in (b"", b"{}", b'{"ready": true}', b'{"ready": false}'):
        request = post(body, kind="application/json", target="/v2/repository/index")
        index = json.loads(exchange(base_url, request).body)
        ready = {(each["name"], each["version"]) for each in index if each["state"] == "READY"}
        assert ready == {(each["name"].partition("@")[0], each["version"]) for each in models}
    for body in (b"[", b"5", b'{"ready": 5}', b"\xff", b"[" * 4000):
        request = post(body, kind="application/json", target="/v2/repository/index")
        assert exchange(base_url, request).status == 400
    long = post(b" " * 70_000, kind="application/json", target="/v2/repository/index")
    assert exchange(base_url, long).status == 413
