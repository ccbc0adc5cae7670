"""Unmodified clients of the protocol, each in its own environment."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers.environments import environment

from greengrocer.imaging.formats import accepted
from support.make_images import jpeg
from support.servers import Server, start_server
from support.workers import start_workers

pytestmark = [pytest.mark.accept, pytest.mark.leg("clients of the Open Inference Protocol")]

ROOT = Path(__file__).parents[3]
REFUSED = f"the file is not an image in a supported format: send {accepted()}"
LEVELS = (10, 245)


@pytest.fixture(scope="module", params=[None, 2], ids=["one-process", "workers"])
def server(fake_bundle: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    flags = ["--bundle", str(fake_bundle), "--engine", "fake"]
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
    script = ROOT / "conformance" / "open_inference" / f"with_{client}.py"
    words = map(str, [python, script, server.url.removeprefix("http://"), "greys", *pictures])
    done = subprocess.run([*words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def predicted(server: Server, pictures: list[Path]) -> dict[str, Any]:
    """The same from ``/predict``."""
    with server.client() as client:
        answers = [
            client.post("/predict?top=10", files={"file": path.read_bytes()}).json()
            for path in pictures
        ]
    by_class = [{r["class"]: r["confidence"] for r in answer["top"]} for answer in answers]
    return {
        "probabilities": [[row[f"grey-{k}"] for k in range(10)] for row in by_class],
        "known_score": [answer["known_score"] for answer in answers],
    }


def agrees(given: dict[str, Any], server: Server, pictures: list[Path]) -> bool:
    """Whether a client's numbers are those of ``/predict``."""
    return all(given[name] == values for name, values in predicted(server, pictures).items())


def test_tritonclient_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = told("tritonclient", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert not found["other_ready"]
    extensions = [*["binary_tensor_data", "classification"], "model_configuration"]
    assert found["server"]["extensions"] == extensions
    of_triton = {"UINT8": "TYPE_UINT8", "BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
    for ours, triton in (("inputs", "input"), ("outputs", "output")):
        told_tensors = [
            (t["name"], of_triton[t["datatype"]], t["shape"]) for t in found["model"][ours]
        ]
        for config in found["configs"]:
            tensors = [(t["name"], t["data_type"], t["dims"]) for t in config[triton]]
            assert tensors == told_tensors
    assert (found["model"]["name"], found["model"]["versions"]) == ("greys", ["1"])
    for way in ("usual", "base64", "pixels", "json_pixels"):
        assert agrees(found[way], server, pictures), way
    assert found["usual"]["id"] == "till-7"
    assert [[text.split(":", 1)[1] for text in row] for row in found["classes"]] == [
        ["0:grey-0", "1:grey-1"],
        ["9:grey-9", "8:grey-8"],
    ]
    assert found["coarse_classes"] == [["1.000000:0:dark"], ["1.000000:1:light"]]
    assert found["evidence"] == [2, 3, 3, 10]
    assert found["refused"] == ["400", REFUSED]
    assert found["unknown"] == ["404", "there is no such model: this server has greys 1"]
    assert found["compressed"][0] == "415"


def test_the_kserve_client_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = told("kserve", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert (found["id"], found["model"][0]) == ("till-7", "greys")
    assert agrees(found["usual"], server, pictures)
    assert found["binary"] == {"probabilities": found["usual"]["probabilities"]}
    assert found["refused"] == [400, {"error": REFUSED}]
