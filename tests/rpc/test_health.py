"""``grpc.health.v1`` and server reflection."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from greengrocer.rpc.endpoints import SERVICE
from greengrocer.rpc.messages.open_inference_pb2 import (
    DESCRIPTOR,
    ModelReadyRequest,
    ModelReadyResponse,
    ServerReadyRequest,
    ServerReadyResponse,
)
from greengrocer.serving.readiness import State
from support.live import make_service
from support.rpc import LiveRpc, RpcClient, live_rpc

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


def test_an_unready_service_answers_so(own: LiveRpc) -> None:
    with own.rpc() as client:
        own.service.readiness.state = State.STOPPING
        assert [client.health(name) for name in ("", SERVICE, "greys")] == [NOT_SERVING] * 3
        assert not client.call("ServerReady", ServerReadyRequest(), ServerReadyResponse).ready
        asked = ModelReadyRequest(name="greys")
        assert not client.call("ModelReady", asked, ModelReadyResponse).ready


def test_a_watch_tells_of_each_change(own: LiveRpc) -> None:
    with own.rpc() as client:
        watch = client.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            HealthCheckRequest.SerializeToString,
            HealthCheckResponse.FromString,
        )
        told: Any = watch(HealthCheckRequest())
        assert next(told).status == SERVING
        own.service.readiness.state = State.STOPPING
        assert next(told).status == NOT_SERVING
        unknown: Any = watch(HealthCheckRequest(service="other"))
        assert next(unknown).status == HealthCheckResponse.SERVICE_UNKNOWN


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
