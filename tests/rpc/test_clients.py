"""Unmodified gRPC clients of the protocol, each in its own environment."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greengrocer.rpc.messages.open_inference_pb2 import DESCRIPTOR
from support.rpc import address_of
from support.servers import Server, start_server
from support.unmodified_clients import REFUSED, agrees, told, write_pictures
from support.workers import start_workers

pytestmark = [pytest.mark.accept, pytest.mark.leg("clients of the Open Inference Protocol")]


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
    return write_pictures(tmp_path)


def received(client: str, server: Server, pictures: list[Path]) -> dict[str, Any]:
    """What a client received."""
    return told(f"with_{client}_grpc", address_of(server), pictures)


def test_tritonclient_works_unmodified(server: Server, pictures: list[Path]) -> None:
    found = received("tritonclient", server, pictures)
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
        'there is no model "other": this server has greys 1',
    ]
    assert found["late"][0] == "StatusCode.DEADLINE_EXCEEDED"


def test_our_messages_are_those_of_the_published_schema(
    server: Server, pictures: list[Path]
) -> None:
    """Each field of ours has the name, number and type that Triton's client has."""
    published = received("tritonclient", server, pictures)["schema"]
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
    found = received("kserve", server, pictures)
    assert found["live"]
    assert found["ready"] == [True, True]
    assert (found["id"], found["model"]) == ("till-7", ["greys", "1"])
    for way in ("usual", "typed"):
        assert agrees(found[way], server, pictures), way
    assert found["refused"] == ["INVALID_ARGUMENT", REFUSED]
