"""Metadata are headers: what HTTP refuses is refused, and nothing of them comes to the log."""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from structlog.testing import capture_logs

from greengrocer.rpc import health
from greengrocer.rpc.endpoints import MODEL_INFER, SERVICE
from greengrocer.rpc.messages.open_inference_pb2 import ModelInferResponse, ModelReadyRequest
from greengrocer.rpc.reflection import PATH as REFLECTION
from greengrocer.serving.reloading.control import ask
from greengrocer.web.access.keys import add_key
from support.bundles import write_fake_bundle
from support.live import make_service
from support.make_images import jpeg
from support.rpc import LiveRpc, address_of, files, live_rpc, raw_call
from support.scrapes import sample, scrape
from support.servers import Server, StartServer

MODEL_READY = f"/{SERVICE}/ModelReady"
GREY = files(jpeg(5))
IMAGE = b64encode(jpeg(5)).decode()
OK, INVALID, INTERNAL, UNAUTHENTICATED = b"0", b"3", b"13", b"16"
CALLS: dict[str, Any] = {
    MODEL_INFER: GREY,
    MODEL_READY: ModelReadyRequest(name="greys"),
    health.CHECK.path: HealthCheckRequest(),
    health.WATCH.path: HealthCheckRequest(),
    REFLECTION: ServerReflectionRequest(list_services=""),
}
any_method = pytest.mark.parametrize("path", CALLS)


@any_method
@pytest.mark.parametrize("value", ["κλειδί".encode(), "é".encode(), b"\xff\xfe"], ids=repr)
def test_metadata_of_any_text_are_accepted(running: LiveRpc, path: str, value: bytes) -> None:
    end = raw_call(running.address, path, [(b"x-split-key", value)], CALLS[path])
    assert end.get(b"grpc-status", OK) == OK, end


@pytest.mark.parametrize("name", [b"authorization", b"x-deadline-ms", b"x-split-key"])
@any_method
def test_what_may_be_there_once_is_refused_twice(running: LiveRpc, path: str, name: bytes) -> None:
    end = raw_call(running.address, path, [(name, b"7"), (name, b"7")], CALLS[path])
    assert (end[b"grpc-status"], end[b"problem-code"]) == (INVALID, b"bad-request")
    assert name.decode().title() in end[b"grpc-message"].decode()


def test_what_cannot_be_a_header_is_refused_and_counted(fake_bundle: Path) -> None:
    service = replace(make_service(fake_bundle), access_log=True)
    with live_rpc(service) as served, capture_logs() as logs:
        for value in (b"a\nb", b"a\rb", b"a\0b"):
            end = raw_call(served.address, MODEL_INFER, [(b"x-split-key", value)], GREY)
            assert (end[b"grpc-status"], end[b"problem-code"]) == (INVALID, b"bad-request"), value
        with served.client() as http:
            assert sample(scrape(http), "rejections_total", reason="bad-request") == 3
    lines = [line for line in logs if line.get("refused") == "bad-request"]
    assert [line["path"] for line in lines] == [MODEL_INFER] * 3


def test_a_key_that_is_no_text_does_not_come_to_the_log(
    serve: StartServer, fake_bundle: Path, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys", "till").encode()
    flags = ["--bundle", str(fake_bundle), "--engine", "fake", "--grpc-port", "0"]
    server = serve(*flags, "--api-keys", str(tmp_path / "keys"))
    address = address_of(server)
    sent = [(b"authorization", b"Bearer " + key + b"\xff"), (b"x-noise", b"\xff" * 100)]
    for path, message in CALLS.items():
        end = raw_call(address, path, sent, message)
        refused = path in (MODEL_INFER, MODEL_READY, REFLECTION)
        assert end.get(b"grpc-status", OK) == (UNAUTHENTICATED if refused else OK)
    assert server.stop() == 0
    log = "".join(server.log)
    assert log.count("refused=unauthorized") == 3
    assert [
        part for part in (key.decode(), "Traceback", "xff", "Invalid encoding") if part in log
    ] == []


def serve_split(serve: StartServer, bundle: Path, runtime: Path, directory: Path) -> Server:
    """A service whose versions 1 and 2 get half of the requests each."""
    second = write_fake_bundle(directory / "second", version="2")
    flags = ["--bundle", str(bundle), "--engine", "fake", "--grpc-port", "0"]
    server = serve(*flags, XDG_RUNTIME_DIR=str(runtime))
    place = runtime / "greengrocer" / f"{server.port}.sock"
    assert ask(place, {"order": "load", "model": "greys@next", "bundle": str(second)})["ok"]
    assert ask(place, {"order": "split", "parts": {"greys": 50, "greys@next": 50}})["ok"]
    return server


def test_without_a_key_chance_decides_and_not_the_request_id(
    serve: StartServer, fake_bundle: Path, runtime: Path, tmp_path: Path
) -> None:
    server = serve_split(serve, fake_bundle, runtime, tmp_path)
    infer = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [IMAGE]}]}
    with server.client() as http:
        http.headers["X-Request-Id"] = "always-the-same"

        def over_http() -> str:
            return str(http.post("/predict", content=jpeg(5)).json()["model"]["version"])

        def over_v2() -> str:
            answer = http.post("/v2/models/greys/infer", json=infer)
            return str(answer.json()["model_version"])

        def over_grpc() -> str:
            sent = [(b"x-request-id", b"always-the-same")]
            end = raw_call(address_of(server), MODEL_INFER, sent, GREY)
            return str(ModelInferResponse.FromString(end[b"message"]).model_version)

        for asked in (over_http, over_v2, over_grpc):
            assert {asked() for _ in range(40)} == {"1", "2"}, asked


def test_the_same_text_has_the_same_version_over_http_and_grpc(
    serve: StartServer, fake_bundle: Path, runtime: Path, tmp_path: Path
) -> None:
    server = serve_split(serve, fake_bundle, runtime, tmp_path)
    found = set()
    with server.client() as http:
        for number in range(12):
            text = f"κλειδί-{number}".encode()
            answer = http.post("/predict", content=jpeg(5), headers={b"X-Split-Key": text})
            end = raw_call(address_of(server), MODEL_INFER, [(b"x-split-key", text)], GREY)
            version = ModelInferResponse.FromString(end[b"message"]).model_version
            assert version == answer.json()["model"]["version"]
            found.add(version)
    assert found == {"1", "2"}


@any_method
def test_an_unexpected_error_shows_no_internals(
    fake_bundle: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Iterator[object]:
        raise RuntimeError("/srv/secret")

    monkeypatch.setattr("greengrocer.rpc.call.client_of", fail)
    with live_rpc(make_service(fake_bundle)) as served, capture_logs() as logs:
        end = raw_call(served.address, path, [], CALLS[path])
    assert (end[b"grpc-status"], end[b"problem-code"]) == (INTERNAL, b"internal-error")
    assert b"secret" not in end[b"grpc-message"]
    (line,) = [line for line in logs if line["event"] == "failed"]
    assert line["request_id"] == end[b"x-request-id"].decode()
