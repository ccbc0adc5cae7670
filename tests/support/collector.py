"""A collector of traces on 127.0.0.1, which receives what is exported by OTLP over HTTP."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from support.waiting import SECONDS

Value = str | int | bool


class ReceivedSpan(NamedTuple):
    """A span as it was exported. Times are in nanoseconds since 1970; ids are in hex."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str  # "" without a parent
    kind: int
    failed: bool
    state: str
    began: int
    ended: int
    attributes: dict[str, Value]
    resource: dict[str, Value]


@dataclass
class Collector:
    """What was received so far, and the environment that has a service export to it."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list)
    status: int = 200  # of its answers; only with this one it takes spans
    changed: threading.Condition = field(default_factory=threading.Condition)

    def environment(self, **more: str) -> dict[str, str]:
        """OpenTelemetry's variables for a service; it exports ten times a second."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            **more,
        }

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """The spans of a trace whose request has ended, in the order in which they began."""

        def found() -> list[ReceivedSpan]:
            spans = [span for span in self.spans if span.trace_id == trace_id]
            return spans if any(span.kind == SERVER for span in spans) else []

        return sorted(self.until(found), key=lambda span: (span.began, -span.ended))

    def until(self, ask: Callable[[], list[ReceivedSpan]]) -> list[ReceivedSpan]:
        """The first answer of ``ask``, a question about the spans, that is true."""
        with self.changed:
            answer = self.changed.wait_for(ask, SECONDS)
        assert answer, self.spans
        return answer


SERVER = 2  # the kind of a server's span


@contextmanager
def collector(port: int = 0) -> Iterator[Collector]:
    """A collector that listens, by default on any free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = told.status if self.path == "/v1/traces" else 404
            if status == 200:
                with told.changed:
                    told.spans += _spans(ExportTraceServiceRequest.FromString(body))
                    told.changed.notify_all()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        told = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[ReceivedSpan]:
    for group in request.resource_spans:
        resource = _attributes(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield ReceivedSpan(
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.kind,
                    span.status.code == span.status.STATUS_CODE_ERROR,
                    span.trace_state,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    _attributes(span.attributes),
                    resource,
                )


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
    raise AssertionError(f"the attribute {value} has another type")
