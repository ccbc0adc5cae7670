"""``grpc.health.v1`` and server reflection."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from fake_engine import FakeEngine
from greengrocer.rpc.endpoints import SERVICE
from greengrocer.rpc.messages.open_inference_pb2 import (
    DESCRIPTOR,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from greengrocer.serving.catalogue import Absence
from greengrocer.serving.classifier import LocalClassifier
from greengrocer.serving.readiness import State
from support.live import engine_of, make_service
from support.make_images import jpeg
from support.rpc import LiveRpc, RpcClient, files, live_rpc
from support.seam import pipeline_of
from support.waiting import SECONDS

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def own(fake_bundle: Path) -> Iterator[LiveRpc]:
    """A service whose state the test may change."""
    with live_rpc(make_service(fake_bundle)) as running:
        yield running


def test_the_server_the_service_and_each_model_have_a_status(rpc: RpcClient) -> None:
    assert [rpc.health(name) for name in ("", SERVICE, "greys")] == [SERVING] * 3
    with pytest.raises(grpc.RpcError) as refused:
        rpc.health("other")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert str(refused.value.details()).startswith('there is no service "other": ask for ')


def test_an_unready_service_answers_so(own: LiveRpc) -> None:
    with own.rpc() as client:
        own.service.readiness.state = State.STOPPING
        assert [client.health(name) for name in ("", SERVICE, "greys")] == [NOT_SERVING] * 3
        assert not client.call("ServerReady", ServerReadyRequest(), ServerReadyResponse).ready
        asked = ModelReadyRequest(name="greys")
        assert not client.call("ModelReady", asked, ModelReadyResponse).ready


def test_a_watch_tells_of_each_change(own: LiveRpc) -> None:
    with own.rpc() as client:
        told = watch(client)
        assert next(told).status == SERVING
        own.service.readiness.state = State.STOPPING
        assert next(told).status == NOT_SERVING
        assert next(watch(client, "other")).status == HealthCheckResponse.SERVICE_UNKNOWN


def watch(client: RpcClient, name: str = "") -> Any:
    """What a watch of a service tells."""
    begin: Any = client.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        HealthCheckRequest.SerializeToString,
        HealthCheckResponse.FromString,
    )
    return begin(HealthCheckRequest(service=name))


def test_a_watch_of_a_model_tells_when_it_is_loaded_and_unloaded(
    own: LiveRpc, fake_bundle: Path
) -> None:
    assert isinstance(own.service.classifier, LocalClassifier)
    models = own.service.classifier.models
    with own.rpc() as client:
        told = watch(client, "shop")
        assert next(told).status == HealthCheckResponse.SERVICE_UNKNOWN
        models.add("shop", pipeline_of(engine_of(FakeEngine, fake_bundle)))
        assert next(told).status == SERVING
        models.remove("shop")
        assert next(told).status == HealthCheckResponse.SERVICE_UNKNOWN
        models.miss({"shop": Absence.FAILED})
        assert next(told).status == NOT_SERVING
        refused = client.refused(files(jpeg(89), model="shop"))
        assert refused.code == grpc.StatusCode.UNAVAILABLE
        assert refused.trailing["problem-code"] == "model-failed"
        assert "the model shop could not be loaded" in refused.detail


def test_an_open_watch_does_not_hold_up_the_stop(fake_bundle: Path) -> None:
    """It is told that the service stops, and ends. The drain time is longer than the test's."""
    with ExitStack() as clients:
        with live_rpc(make_service(fake_bundle), drain=10 * SECONDS) as running:
            told = watch(clients.enter_context(running.rpc()))
            assert next(told).status == SERVING
        assert [answer.status for answer in told] == [NOT_SERVING]


def test_reflection_lists_the_services_and_their_messages(rpc: RpcClient) -> None:
    asked = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    stub: Any = ServerReflectionStub(rpc.channel)
    listed, found = stub.ServerReflectionInfo(iter(asked))
    names = {each.name for each in listed.list_services_response.service}
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    (file,) = found.file_descriptor_response.file_descriptor_proto
    assert FileDescriptorProto.FromString(file).name == DESCRIPTOR.name
