"""The log says why spans cannot be exported, and what to do, and shows no secret."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from structlog.testing import capture_logs

from greengrocer.telemetry.reporting_exporter import ReportingExporter
from support.collector import Collector, collector

KEY = "7secret"
ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What the exporter logs, which has a key, and gives up soon."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key={KEY}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with capture_logs() as logs:
        yield logs


@pytest.fixture
def spans() -> Iterator[Collector]:
    """A collector that runs."""
    with collector() as running:
        yield running


def export(monkeypatch: pytest.MonkeyPatch, endpoint: str, times: int = 1) -> None:
    """Export a span to ``endpoint``, so many times."""
    monkeypatch.setenv(ENDPOINT, endpoint)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(ReportingExporter()))
    for _ in range(times):
        provider.get_tracer("test").start_span("test").end()
    provider.shutdown()


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (302, "check OTEL_EXPORTER_OTLP_ENDPOINT, and that the collector runs"),
        (401, "check the key in OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "check the key in OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "check the path of OTEL_EXPORTER_OTLP_ENDPOINT"),
        (400, "look at the collector"),
        (503, "look at the collector"),
    ],
)
def test_what_the_collector_answers_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, log: list[Any], spans: Collector, status: int, remedy: str
) -> None:
    spans.status = status
    export(monkeypatch, f"{spans.url}/v1/traces", times=2)
    (told,) = log
    assert "cannot be exported" in told["event"]
    assert told["reason"].startswith(f"the collector answers {status} ")
    assert told["remedy"].startswith(remedy)
    assert spans.spans == []


def test_a_connection_that_is_refused_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, log: list[Any]
) -> None:
    export(monkeypatch, f"http://me:{KEY}@127.0.0.1:1/v1/traces?key={KEY}")
    (told,) = log
    assert "Connection refused" in told["reason"]
    assert "that the collector runs" in told["remedy"]
    assert KEY not in str(told)


def test_a_collector_that_does_not_answer_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, log: list[Any]
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        export(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
    (told,) = log
    assert "timed out" in told["reason"]


def test_a_collector_without_tls_is_the_reason(
    monkeypatch: pytest.MonkeyPatch, log: list[Any], spans: Collector
) -> None:
    export(monkeypatch, f"{spans.url.replace('http:', 'https:')}/v1/traces")
    (told,) = log
    assert "SSL" in told["reason"]
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in told["remedy"]


def test_a_header_that_cannot_be_sent_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, log: list[Any], spans: Collector
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"api-key=a%0a{KEY}")
    export(monkeypatch, f"{spans.url}/v1/traces")
    (told,) = log
    assert told["reason"] == "InvalidHeader"


def test_an_export_that_works_is_not_logged_until_one_has_failed(
    monkeypatch: pytest.MonkeyPatch, log: list[Any], spans: Collector
) -> None:
    export(monkeypatch, f"{spans.url}/v1/traces")
    assert log == []
    assert len(spans.spans) == 1
