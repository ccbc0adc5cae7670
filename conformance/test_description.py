"""The service does what its own description at /openapi.json says, and nothing else."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from conformance import tensors
from conformance.forms import FORM, form, part
from conformance.photos import jpeg, photo
from conformance.wire import exchange, head, post

CONFIG = Path(__file__).with_name("schemathesis.toml")
LONG = 300  # seconds: only a hang takes as long
PICTURE = jpeg(photo(1))


def pass_schemathesis(url: str, scratch: Path, *options: str) -> None:
    """All its checks pass, but for the exceptions in schemathesis.toml."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG)]
    command += ["run", f"{url}/openapi.json", "--checks", "all", "--no-color", *options]
    done = subprocess.run(
        command,
        cwd=scratch,  # where it leaves its notes
        env=os.environ | {"PYTHONPATH": str(CONFIG.parents[1])},
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 0" not in done.stdout
    assert "Tested:" in done.stdout


def test_schemathesis_finds_nothing(base_url: str, tmp_path: Path) -> None:
    pass_schemathesis(base_url, tmp_path)


def sent(**request: object) -> dict[str, Any]:
    """What the protocol's requests have in their bodies: chance would not find it."""
    return {
        "media_type": "application/json",
        "body": {"inputs": [tensors.image(PICTURE)]},
        **request,
    }


SOUND: dict[str, tuple[str, dict[str, Any]]] = {
    "an image": ("/predict", {"media_type": "image/jpeg", "body": PICTURE}),
    "evidence": (
        "/predict",
        {"media_type": "image/jpeg", "body": PICTURE, "query": {"explain": "true", "top": 2}},
    ),
    "a form": ("/predict", {"media_type": FORM.partition(";")[0], "body": {"file": PICTURE}}),
    "a map": ("/explain", {"media_type": "image/jpeg", "body": PICTURE}),
    "tensors": ("/v2/models/{name}/infer", sent()),
    "classes": (
        "/v2/models/{name}/infer",
        sent(
            body={
                "id": "7",
                "inputs": [tensors.image(PICTURE, PICTURE)],
                "outputs": [{"name": "probabilities", "parameters": {"classification": 2}}],
            }
        ),
    ),
    "the model": ("/v2/models/{name}", {}),
    "the model's configuration": ("/v2/models/{name}/config", {}),
    "the model's state": ("/v2/models/{name}/ready", {}),
}


@pytest.mark.parametrize("name", SOUND)
def test_valid_requests_are_answered_as_described(base_url: str, name: str) -> None:
    path, request = SOUND[name]
    model = tensors.model(base_url).rpartition("/")[2]
    operation = schemathesis.openapi.from_url(f"{base_url}/openapi.json")[path]
    method = "POST" if "body" in request else "GET"
    parameters = {"name": model} if "{name}" in path else None
    case = operation[method].Case(path_parameters=parameters, **request)
    assert case.call_and_validate(base_url=base_url).status_code == 200


def test_pages_work_below_any_path_prefix(base_url: str) -> None:
    """A proxy may take a path off: links are relative, and so is where the interface is."""
    for page in ("/", "/docs"):
        text = exchange(base_url, head("GET", page)).body.decode()
        links = re.findall(r"""(?:href|src|url)(?:=|: ?)["']([^"']+)""", text)
        assert links
        assert not [link for link in links if link.startswith("/") or "://" in link]
    (server,) = json.loads(exchange(base_url, head("GET", "/openapi.json")).body)["servers"]
    assert server["url"] == "."


def test_every_line_of_a_batch_matches_its_schema(base_url: str) -> None:
    """Of what comes in lines schemathesis looks at the type alone."""
    described = json.loads(exchange(base_url, head("GET", "/openapi.json")).body)
    operation = described["paths"]["/predict/batch"]["post"]
    (content,) = operation["responses"]["200"]["content"].values()
    schema = {**content["schema"], "components": described["components"]}
    validator = jsonschema_rs.validator_for(schema)
    parts = [part(PICTURE), part(PICTURE[:300]), part(b""), part(b"GIF89a"), part(PICTURE)]
    answer = exchange(base_url, post(form(*parts), kind=FORM, target="/predict/batch"))
    lines = [json.loads(line) for line in answer.body.splitlines()]
    assert [line.get("status", 200) for line in lines] == [200, 400, 400, 415, 200]
    for line in lines:
        validator.validate(line)
