"""API keys, rate limits, request ids, metrics and the access log hold for gRPC as for HTTP."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from greengrocer.errors import Overloaded
from greengrocer.rpc import call
from greengrocer.rpc.call_context import CallContext
from greengrocer.rpc.messages.open_inference_pb2 import (
    ModelReadyRequest,
    ModelReadyResponse,
    ServerLiveRequest,
    ServerLiveResponse,
)
from greengrocer.rpc.places import Places
from greengrocer.rpc.statuses import status_of
from greengrocer.web.access.keys import add_key
from support.access import closed
from support.live import make_service
from support.make_images import jpeg
from support.rpc import LiveRpc, RpcClient, ended, files, live_rpc
from support.scrapes import sample, scrape
from support.waiting import SECONDS

GREY = jpeg(5)
INFER = "/inference.GRPCInferenceService/ModelInfer"


def test_a_call_needs_a_key_and_its_message_is_not_awaited_before(
    fake_bundle: Path, tmp_path: Path
) -> None:
    key = add_key(tmp_path / "keys", "till")
    with live_rpc(closed(fake_bundle, tmp_path / "keys")) as running, running.rpc() as client:
        assert client.infer(files(GREY), [("authorization", f"Bearer {key}")])
        for metadata in ([], [("authorization", "Bearer gg_wrong")]):
            end = client.refused(files(GREY), metadata)
            assert (end.code, end.trailing["problem-code"]) == (
                StatusCode.UNAUTHENTICATED,
                "unauthorized",
            )
        sent = threading.Event()  # a client that sends no message before it has its answer
        call = client.stream(_once(sent))
        assert ended(call.exception(SECONDS)).code is StatusCode.UNAUTHENTICATED
        sent.set()
        assert client.call("ServerLive", ServerLiveRequest(), ServerLiveResponse).live
        assert client.health() == 1


def _once(event: threading.Event) -> Iterator[bytes]:
    event.wait(SECONDS)
    yield b""


def test_reflection_needs_a_key(fake_bundle: Path, tmp_path: Path) -> None:
    add_key(tmp_path / "keys", "till")
    with live_rpc(closed(fake_bundle, tmp_path / "keys")) as running, running.rpc() as client:
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        ask: Any = client.channel.stream_stream(path)
        answers = ask(iter([b""]))
        with pytest.raises(grpc.RpcError) as refused:
            next(answers)
        assert ended(refused.value).code is StatusCode.UNAUTHENTICATED


def test_a_client_over_its_rate_limit_is_told_when_to_call_again(fake_bundle: Path) -> None:
    service = closed(fake_bundle, rates={"address": "2/hour"})
    with live_rpc(service) as running, running.rpc() as client:
        client.infer(files(GREY))
        client.infer(files(GREY))
        end = client.refused(files(GREY))
        assert end.code is StatusCode.RESOURCE_EXHAUSTED
        seconds = int(end.trailing["retry-after"])
        assert 0 < seconds <= 1800
        assert end.trailing["grpc-retry-pushback-ms"] == str(seconds * 1000)
        assert end.trailing["ratelimit"].startswith('"address";r=0')
        with running.client() as http:  # one client, whichever way it comes
            assert http.post("/predict", files={"file": GREY}).status_code == 429


def test_a_trusted_proxy_names_the_client(fake_bundle: Path) -> None:
    service = closed(fake_bundle, rates={"address": "1/hour"}, trusted_proxies=("127.0.0.1/32",))
    with live_rpc(service) as running, running.rpc() as client:
        for address in ("192.0.2.1", "192.0.2.2"):
            metadata = [("x-forwarded-for", address)]
            client.infer(files(GREY), metadata)
            assert client.refused(files(GREY), metadata).code is StatusCode.RESOURCE_EXHAUSTED


def test_a_full_queue_ends_a_call_with_the_seconds_to_wait(fake_bundle: Path) -> None:
    service = make_service(fake_bundle)
    full = replace(service.admission.limits, wait_seconds=-1)
    service.admission.limits = full
    with live_rpc(service) as running, running.rpc() as client:
        end = client.refused(files(GREY))
        assert (end.code, end.trailing["problem-code"]) == (StatusCode.UNAVAILABLE, "overloaded")
        assert end.trailing["grpc-retry-pushback-ms"] == "1000"
        assert running.service.admission.bytes_in_flight == 0


def test_calls_are_counted_and_logged_by_their_method(fake_bundle: Path) -> None:
    service = replace(make_service(fake_bundle), access_log=True)
    with live_rpc(service) as running, running.rpc() as client, capture_logs() as logs:
        client.infer(files(GREY), [("x-request-id", "till-7")])
        client.refused(files(b"pear"))
        client.call("ModelReady", ModelReadyRequest(name="greys"), ModelReadyResponse)
        client.call("ServerLive", ServerLiveRequest(), ServerLiveResponse)
        client.health()
        with running.client() as http:
            samples = scrape(http)
    lines = [line for line in logs if line["event"] == "request" and "grpc" in line["path"].lower()]
    assert [(line["path"].rsplit("/")[-1], line["status"]) for line in lines] == [
        ("ModelInfer", 200),
        ("ModelInfer", 400),
        ("ModelReady", 200),
    ]
    assert lines[0]["request_id"] == "till-7"
    assert lines[0]["address"] == "127.0.0.1"
    assert lines[1]["refused"] == "unreadable-image"
    for status in ("200", "400"):
        assert sample(samples, "requests_total", route=INFER, status=status) == 1
    assert sample(samples, "rejections_total", reason="unreadable-image") == 1
    assert sample(samples, "upload_bytes_count") == 2


def watch(client: RpcClient, message: bytes, request_id: str) -> Any:
    """A watch of the server, with an id of its own."""
    ask: Any = client.channel.unary_stream("/grpc.health.v1.Health/Watch")
    return ask(message, metadata=(("x-request-id", request_id),))


def test_a_call_without_a_place_or_an_error_in_a_stream_has_its_id_its_line_and_its_count(
    fake_bundle: Path,
) -> None:
    service = replace(make_service(fake_bundle), access_log=True)
    with live_rpc(service) as running, running.rpc() as client, capture_logs() as logs:
        bad = ended(watch(client, b"\xff\xff\xff\xff", "till-0").exception(SECONDS))
        watches = [watch(client, b"", f"till-{number}") for number in range(1, 9)]
        assert all(map(next, watches))
        late = ended(watch(client, b"", "till-9").exception(SECONDS))
        for each in watches:
            each.cancel()
        with running.client() as http:
            samples = scrape(http)
    ends = {"till-0": (bad, "malformed-upload", 400), "till-9": (late, "overloaded", 429)}
    lines = {line["request_id"]: line for line in logs if line["event"] == "call refused"}
    assert lines.keys() == ends.keys()
    for request_id, (end, code, status) in ends.items():
        assert end.trailing["x-request-id"] == request_id
        assert end.trailing["problem-code"] == code
        line = lines[request_id]
        assert (line["refused"], line["status"], line["address"]) == (code, status, "127.0.0.1")
        assert sample(samples, "rejections_total", reason=code) == 1


def test_a_refusal_of_a_call_that_has_ended_is_no_failure(
    fake_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC raises an error where the status of such a call is to be sent."""
    passed = threading.Event()

    def after_the_deadline(status: int, code: str | None) -> StatusCode:
        passed.wait(SECONDS)
        return status_of(status, code)

    monkeypatch.setattr(call, "status_of", after_the_deadline)
    service = replace(make_service(fake_bundle), access_log=True)
    with live_rpc(service) as running, capture_logs() as logs, running.rpc() as client:
        end = client.refused(files(b"pear"), timeout=1)
        passed.set()
        assert client.refused(files(b"pear")).code is StatusCode.INVALID_ARGUMENT
    assert end.code is StatusCode.DEADLINE_EXCEEDED
    assert [line for line in logs if line["event"] == "failed"] == []


def test_an_answer_without_room_is_refused_with_the_id_of_its_call(
    fake_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Places.take

    def full(self: Places, context: CallContext, places: int = 1) -> None:
        if places > 1:  # bytes of an answer
            raise Overloaded("too many bytes", 1)
        take(self, context, places)

    monkeypatch.setattr(Places, "take", full)
    service = replace(make_service(fake_bundle), access_log=True)
    with live_rpc(service) as running, running.rpc() as client, capture_logs() as logs:
        end = client.refused(files(GREY))
        with running.client() as http:
            assert sample(scrape(http), "rejections_total", reason="overloaded") == 1
    assert end.trailing["retry-after"] == "1"
    (refused,) = (line for line in logs if line["event"] == "call refused")
    (answered,) = (line for line in logs if line.get("path") == INFER)
    assert {each["request_id"] for each in (refused, answered)} == {end.trailing["x-request-id"]}


def test_the_request_id_comes_back(rpc: RpcClient) -> None:
    ask: Any = rpc.channel.unary_unary(INFER)
    _, call = ask.with_call(files(GREY).SerializeToString(), metadata=(("x-request-id", "till-8"),))
    assert ("x-request-id", "till-8") in [*call.trailing_metadata()]


def test_metadata_that_are_no_text_are_left_out(running: LiveRpc) -> None:
    with running.rpc() as client:
        assert client.infer(files(GREY), [("x-split-key", "7"), ("trace-bin", b"\xff\0")])  # type: ignore[list-item]
