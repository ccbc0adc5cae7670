"""A call has the spans of a request over HTTP, in its client's trace."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greengrocer.rpc.endpoints import MODEL_INFER
from support.collector import SERVER, Collector, collector
from support.make_images import jpeg
from support.rpc import RpcClient, address_of, files
from support.servers import StartServer

PARENT = "00f067aa0ba902b7"


@pytest.fixture
def spans() -> Iterator[Collector]:
    """A collector that runs."""
    with collector() as running:
        yield running


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one process", "workers"])
def test_a_call_becomes_a_span_with_one_for_each_stage(
    spans: Collector, serve: StartServer, fake_bundle: Path, workers: tuple[str, ...]
) -> None:
    flags = ("--bundle", str(fake_bundle), "--engine", "fake", "--traces", "true", *workers)
    server = serve(*flags, "--grpc-port", "0", **spans.environment())
    trace = secrets.token_hex(16)
    sent = (("traceparent", f"00-{trace}-{PARENT}-01"), ("x-request-id", "till-9"))
    with RpcClient(address_of(server)) as client:
        ask: Any = client.channel.unary_unary(MODEL_INFER)
        _, call = ask.with_call(files(jpeg(5)).SerializeToString(), metadata=sent)
        assert client.health() == 1  # which has no trace
    request, *others = spans.trace(trace)
    assert (request.parent_id, request.kind) == (PARENT, SERVER)
    assert request.name == f"POST {MODEL_INFER}"
    expected = {
        "http.route": MODEL_INFER,
        "http.response.status_code": 200,
        "network.protocol.version": "2",
        "client.address": "127.0.0.1",
        "triton.request_id": "till-9",
    }
    assert expected.items() <= request.attributes.items()
    named = dict(call.trailing_metadata())["traceresponse"]
    assert named == f"00-{trace}-{request.span_id}-01"
    assert [each.name for each in others if each.parent_id == request.span_id] == [
        "upload",
        "classify",
    ]
    image = next(each for each in others if each.name == "classify")
    stages = [each.name for each in others if each.parent_id == image.span_id]
    assert stages == ["admit", "queue", "decode", "infer", "rank"]
    assert {span.trace_id for span in spans.spans} == {trace}
