"""Unmodified clients of the protocol, each in its own environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.servers import Server, start_server
from support.unmodified_clients import REFUSED, agrees, told, write_pictures
from support.workers import start_workers

pytestmark = [pytest.mark.accept, pytest.mark.leg("clients of the Open Inference Protocol")]


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
    return write_pictures(tmp_path)


def received(client: str, server: Server, pictures: list[Path]) -> dict[str, Any]:
    """What a client received."""
    return told(f"with_{client}", server.url.removeprefix("http://"), pictures)


def test_tritonclient_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = received("tritonclient", server, pictures)
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
    assert found["unknown"] == ["404", 'there is no model "other": this server has greys 1']
    assert found["compressed"][0] == "415"


def test_the_kserve_client_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = received("kserve", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert (found["id"], found["model"][0]) == ("till-7", "greys")
    assert agrees(found["usual"], server, pictures)
    assert found["binary"] == {"probabilities": found["usual"]["probabilities"]}
    assert found["refused"] == [400, {"error": REFUSED}]
