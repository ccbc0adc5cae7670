"""Unmodified gRPC clients of the protocol, each in its own environment."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers.environments import environment

from greengrocer.imaging.formats import accepted
from greengrocer.rpc.messages.open_inference_pb2 import DESCRIPTOR
from support.make_images import jpeg
from support.rpc import address_of
from support.servers import Server, start_server
from support.workers import start_workers

pytestmark = [pytest.mark.accept, pytest.mark.leg("clients of the Open Inference Protocol")]

ROOT = Path(__file__).parents[2]
REFUSED = f"the file is not an image in a supported format: send {accepted()}"
LEVELS = (10, 245)


@pytest.fixture(scope="module", params=[None, 2], ids=["one-process", "workers"])
def server(fake_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
    workers: int | None = request.param
    running = start_workers(workers, *flags).server if workers else start_server(*flags)
    yield running
    assert running.stop() == 0


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """One for each level."""
    paths = [tmp_path / f"{level}.jpg" for level in LEVELS]
    for path, level in zip(paths, LEVELS, strict=True):
        path.write_bytes(jpeg(level))
    return paths


def told(client: str, server: Server, pictures: list[Path]) -> dict[str, Any]:
    """What a client received."""
    python = environment("clients", ROOT / "requirements" / "clients.txt") / "python"
    script = ROOT / "conformance" / "open_inference" / f"with_{client}_grpc.py"
    words = map(str, [python, script, address_of(server), "greys", *pictures])
    done = subprocess.run([*words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def agrees(given: dict[str, Any], server: Server, pictures: list[Path]) -> bool:
    """Whether a client's numbers are those of ``/predict``."""
    with server.client() as client:
        answers = [
            client.post("/predict?top=10", files={"file": path.read_bytes()}).json()
            for path in pictures
        ]
    rows = [{each["class"]: each["confidence"] for each in answer["top"]} for answer in answers]
    probabilities = [[row[f"grey-{k}"] for k in range(10)] for row in rows]
    scores = [answer["known_score"] for answer in answers]
    return (given["probabilities"], given["known_score"]) == (probabilities, scores)


def test_tritonclient_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = told("tritonclient", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert not found["other_ready"]
    assert found["server"]["extensions"] == [
        *["binary_tensor_data", "classification"],
        "model_configuration",
    ]
    assert (found["model"]["name"], found["model"]["versions"]) == ("greys", ["1"])
    for ours, tritons in (("inputs", "input"), ("outputs", "output")):
        assert [each["name"] for each in found["config"][tritons]] == [
            each["name"] for each in found["model"][ours]
        ]
    assert found["index"] == [{"name": "greys", "version": "1", "state": "READY"}]
    for way in ("usual", "later", "pixels"):
        assert agrees(found[way], server, pictures), way
    assert found["usual"]["id"] == "till-7"
    assert [[text.split(":", 1)[1] for text in row] for row in found["classes"]] == [
        ["0:grey-0", "1:grey-1"],
        ["9:grey-9", "8:grey-8"],
    ]
    assert found["evidence"] == [2, 3, 3, 10]
    assert found["refused"] == ["StatusCode.INVALID_ARGUMENT", REFUSED]
    assert found["unknown"] == [
        "StatusCode.NOT_FOUND",
        "there is no such model: this server has greys 1",
    ]
    assert found["late"][0] == "StatusCode.DEADLINE_EXCEEDED"


def test_our_messages_are_those_of_the_published_schema(
    server: Server, pictures: list[Path]
) -> None:
    """Each field of ours has the name, number and type that Triton's client has."""
    published = told("tritonclient", server, pictures)["schema"]
    ours = {}

    def collect(message: Any) -> None:
        ours[message.name] = {field.name: [field.number, field.type] for field in message.fields}
        for inside in message.nested_types:
            collect(inside)

    for message in DESCRIPTOR.message_types_by_name.values():
        collect(message)
    for name, fields in ours.items():
        assert fields.items() <= published[name].items(), name


def test_the_kserve_client_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = told("kserve", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert (found["id"], found["model"]) == ("till-7", ["greys", "1"])
    for way in ("usual", "typed"):
        assert agrees(found[way], server, pictures), way
    assert found["refused"] == ["INVALID_ARGUMENT", REFUSED]
