"""gRPC: each method answers as the same request over HTTP; a bad call ends with a status."""

import json
import socket
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from conformance.grpc_client import (
    HEALTH,
    INFERENCE,
    Client,
    Request,
    asking,
    files,
    pixels,
    values,
)
from conformance.limits import BODY
from conformance.photos import jpeg, photo
from conformance.processes import Processes
from conformance.tensors import FILE, PIXELS, answered, infer, packed
from conformance.tensors import asking as asking_http
from conformance.tensors import image as http_image
from conformance.tensors import pixels as http_pixels
from conformance.watches import little_memory
from conformance.wire import exchange, head

OVERHEAD = 1 << 16  # bytes of a message besides the largest image
SERVING, NOT_FOUND, INVALID = 1, StatusCode.NOT_FOUND, StatusCode.INVALID_ARGUMENT
WIDE = 2000  # pixels each way: 12 megabytes
OTHER = jpeg(photo(3))
# Where versions share a model's requests, both ways ask the same.
SPLIT, SPLIT_KEY = [("x-split-key", "till-7")], "X-Split-Key: till-7"


def test_a_request_in_the_published_numbers_is_answered(client: Client, name: str) -> None:
    """So the description, from which all other tests make their messages, has these, too."""

    def field(number: int, content: bytes) -> bytes:
        assert len(content) < 1 << 14
        return bytes([number << 3 | 2, len(content) & 0x7F | 0x80, len(content) >> 7]) + content

    sides = field(3, bytes([1]))
    tensor = field(1, b"image") + field(2, b"BYTES") + sides
    message = field(1, name.encode()) + field(5, tensor) + field(7, packed(FILE))
    assert client.infer(message, SPLIT) == client.infer(files(name, FILE), SPLIT)


def over_http(base_url: str, name: str, *inputs: object, **other: object) -> dict[str, Any]:
    """The answer of /v2 to the same request."""
    request = infer(f"/v2/models/{name}", asking_http(*inputs, **other), None, SPLIT_KEY)
    return answered(exchange(base_url, request))


def request_of(kind: str, name: str) -> Request:
    """A request with two images: raw or typed, files or pixels."""
    asked = files(name, FILE, OTHER) if "files" in kind else pixels(name)
    if "raw" in kind:
        return asked
    contents: Request = {"uint_contents": PIXELS}
    if "files" in kind:
        contents = {"bytes_contents": [FILE, OTHER]}
    return asking(name, asked["inputs"][0] | {"contents": contents})


@pytest.mark.parametrize("kind", ["raw files", "typed files", "raw pixels", "typed pixels"])
def test_an_inference_is_that_of_http(client: Client, base_url: str, name: str, kind: str) -> None:
    asked = request_of(kind, name) | {"id": "till-7"}
    given = http_image(FILE, OTHER) if "files" in kind else http_pixels()
    there = [each.name for each in client.call("ModelMetadata", {"name": name}).outputs]
    for wanted in ([], [{"name": each} for each in reversed(there)]):
        answer = client.infer(asked | {"outputs": wanted}, SPLIT)
        told = over_http(
            base_url, name, given, id="till-7", **{"outputs": wanted} if wanted else {}
        )
        assert (answer.model_name, answer.model_version) == (
            told["model_name"],
            told["model_version"],
        )
        assert answer.id == told["id"] == "till-7"
        assert [(each.name, each.datatype, [*each.shape]) for each in answer.outputs] == [
            (each["name"], each["datatype"], each["shape"]) for each in told["outputs"]
        ]
        assert bool(answer.raw_output_contents) == ("raw" in kind)
        for output in told["outputs"]:
            numbers = np.array(output["data"], np.float32).reshape(output["shape"])
            np.testing.assert_array_equal(values(answer)[output["name"]], numbers)


@pytest.mark.parametrize("kind", ["raw files", "typed files"])
def test_the_best_classes_are_those_of_http(
    client: Client, base_url: str, name: str, kind: str
) -> None:
    best = {"name": "probabilities", "parameters": {"classification": {"int64_param": 2}}}
    answer = client.infer(request_of(kind, name) | {"outputs": [best]}, SPLIT)
    best = {"name": "probabilities", "parameters": {"classification": 2}}
    (told,) = over_http(base_url, name, http_image(FILE, OTHER), outputs=[best])["outputs"]
    assert values(answer) == {"probabilities": told["data"]}


def test_the_descriptions_are_those_of_http(client: Client, base_url: str, name: str) -> None:
    def http(target: str) -> Any:
        return json.loads(exchange(base_url, head("GET", target)).body)

    assert client.call("ServerLive").live
    assert client.call("ServerReady").ready
    server, told = client.call("ServerMetadata"), http("/v2")
    assert (server.name, server.version) == (told["name"], told["version"])
    assert [*server.extensions] == told["extensions"]
    path, asked = f"/v2/models/{name}", {"name": name}
    described, told = client.call("ModelMetadata", asked), http(path)
    assert [*described.versions] == told["versions"]
    for ours, https in ((described.inputs, told["inputs"]), (described.outputs, told["outputs"])):
        assert [(each.name, each.datatype, [*each.shape]) for each in ours] == [
            (each["name"], each["datatype"], each["shape"]) for each in https
        ]
    config, told = client.call("ModelConfig", asked).config, http(f"{path}/config")
    for ours, https in ((config.input, told["input"]), (config.output, told["output"])):
        assert [(each.name, [*each.dims]) for each in ours] == [
            (each["name"], each["dims"]) for each in https
        ]
    index = {(each.name, each.version) for each in client.call("RepositoryIndex").models}
    assert {(name, version) for version in described.versions} <= index
    for version in ("", *described.versions):
        assert client.call("ModelReady", {"name": name, "version": version}).ready


def test_a_split_key_gets_the_version_that_it_gets_over_http(
    client: Client, base_url: str, name: str
) -> None:
    for key in (f"user-{number}" for number in range(20)):
        field = f"X-Split-Key: {key}"
        path = f"/v2/models/{name}"
        told = exchange(base_url, infer(path, asking_http(http_image(FILE)), None, field))
        found = client.infer(files(name, FILE), [("x-split-key", key)]).model_version
        assert found == answered(told)["model_version"]


@pytest.mark.parametrize("other", ["other", "", "..", "a/versions/1", "\0", "a" * 5000, "@next"])
def test_an_unknown_model_is_not_found(client: Client, name: str, other: str) -> None:
    for method in ("ModelMetadata", "ModelConfig"):
        end = client.refused({"name": other}, method=method)
        assert (end.status, end.code) == (NOT_FOUND, "unknown-model")
    assert not client.call("ModelReady", {"name": other}).ready
    assert not client.call("ModelReady", {"name": name, "version": "no such"}).ready
    for asked in (files(other, FILE), files(name, FILE) | {"model_version": "no such"}):
        end = client.refused(asked)
        assert (end.status, end.code) == (NOT_FOUND, "unknown-model")


def test_health_is_that_of_the_server_and_of_each_model(client: Client, name: str) -> None:
    for service in ("", INFERENCE, name):
        asked = {"service": service}
        assert client.call("Check", asked, service=HEALTH).status == SERVING
        assert next(client.watch("Watch", asked, HEALTH)).status == SERVING
    unknown = client.refused({"service": "other"}, method="Check", service=HEALTH)
    assert unknown.status is NOT_FOUND
    assert next(client.watch("Watch", {"service": "other"}, HEALTH)).status != SERVING


def test_reflection_lists_the_services(client: Client) -> None:
    assert {INFERENCE, HEALTH} <= set(client.described.get_services())


def test_an_image_may_be_as_long_as_the_limit(client: Client, name: str) -> None:
    assert client.infer(files(name, FILE.ljust(BODY, b"\0")))


def test_a_longer_message_than_the_limit_is_refused(client: Client, name: str) -> None:
    for size in (BODY + OVERHEAD + 1, 4 * BODY):
        end = client.refused(bytes(size))
        assert end.status is StatusCode.RESOURCE_EXHAUSTED
    assert client.infer(files(name, FILE))


def test_a_compressed_message_is_refused(client: Client, name: str) -> None:
    """One of 20 megabytes could be 20 gigabytes."""
    end = client.refused(files(name, FILE), compression=grpc.Compression.Gzip)
    assert end.status is StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    "method", ["ModelStreamInfer", "RepositoryModelLoad", "RepositoryModelUnload", "", "../infer"]
)
def test_other_methods_are_unknown(client: Client, method: str) -> None:
    ask: Any = client.channel.unary_unary(f"/{INFERENCE}/{method}")
    with pytest.raises(grpc.RpcError) as refused:
        ask(b"")
    assert refused.value.code() is StatusCode.UNIMPLEMENTED


def test_a_deadline_that_has_passed_ends_the_call(client: Client, name: str) -> None:
    picture = pixels(name, bytes(3 * WIDE * WIDE), shape=[1, WIDE, WIDE, 3])
    end = client.refused(picture, [("x-deadline-ms", "1")])
    assert (end.status, end.code) == (StatusCode.DEADLINE_EXCEEDED, "deadline-exceeded")
    for wrong in ("soon", "0", "-1", "1e9"):
        end = client.refused(picture, [("x-deadline-ms", wrong)])
        assert (end.status, end.code) == (INVALID, "parameter-out-of-range")


def test_calls_that_are_cancelled_leave_nothing(
    client: Client, name: str, service: Processes
) -> None:
    picture = pixels(name, bytes(3 * WIDE * WIDE), shape=[1, WIDE, WIDE, 3])
    client.infer(picture)
    with little_memory(service):
        calls = [client.begin(picture) for _ in range(4)]
        assert client.infer(files(name, FILE))
        for call in calls:
            call.cancel()


def test_a_call_keeps_its_request_id_if_it_is_sound(client: Client, name: str) -> None:
    for sent, kept in (("till-7", True), ("a" * 5000, False), ("till 7;", False)):
        end = client.refused(files(name), [("x-request-id", sent)])
        assert (end.trailing["x-request-id"] == sent) == kept


@pytest.mark.wire
@pytest.mark.parametrize(
    "noise",
    [
        head("GET", "/livez"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 9,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100_000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    ],
    ids=["HTTP/1.1", "a frame that is too long", "frames of nothing", "TLS"],
)
def test_what_is_not_grpc_is_cut_off(client: Client, noise: bytes) -> None:
    host, _, port = client.address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=60) as connection:
        connection.sendall(noise)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
