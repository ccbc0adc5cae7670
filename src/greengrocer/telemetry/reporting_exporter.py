"""Exports spans; logs when that begins to fail, with the reason, and when it works again."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from requests import Response, Session
from requests.exceptions import SSLError

from greengrocer.safe_text import MAX_REASON, one_line, reason_of

# With one of these, OpenTelemetry makes a session of its own, which has the credentials.
CREDENTIALS = (
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER",
    "OTEL_PYTHON_EXPORTER_OTLP_HTTP_TRACES_CREDENTIAL_PROVIDER",
)
KEY = "check the key in OTEL_EXPORTER_OTLP_HEADERS"
PATH = "check the path of OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/traces is added"
RUNS = "check OTEL_EXPORTER_OTLP_ENDPOINT, and that the collector runs"
TRUST = "check OTEL_EXPORTER_OTLP_ENDPOINT; OTEL_EXPORTER_OTLP_CERTIFICATE names the CAs to trust"
REFUSES = "look at the collector: it refuses the spans"
REMEDIES = {401: KEY, 403: KEY, 404: PATH, 405: PATH}

log = structlog.get_logger("greengrocer.traces")


class Failure(NamedTuple):
    """Why an export failed, in one line without secrets, and what to do."""

    reason: str
    remedy: str


class ToldSession(Session):
    """The exporter's HTTP client; ``failure`` is why the last request failed, if it did."""

    failure: Failure | None = None

    def request(self, *args: Any, **kwargs: Any) -> Response:
        """Send a request."""
        try:
            answer = super().request(*args, **kwargs)
        except Exception as error:
            self.failure = _not_answered(error)
            raise
        self.failure = _refused(answer)
        return answer


class ReportingExporter(SpanExporter):
    """Exports as OpenTelemetry's variables say; raises ValueError for one that has no meaning."""

    def __init__(self) -> None:
        self._session = ToldSession()
        theirs = any(map(os.environ.get, CREDENTIALS))
        self._exporter: SpanExporter = OTLPSpanExporter(session=None if theirs else self._session)
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export ``spans``; called from one thread."""
        self._session.failure = None
        result = self._exporter.export(spans)
        failure = self._session.failure
        if failure is None and result is not SpanExportResult.SUCCESS:
            failure = Failure("unknown", RUNS)
        if failure is not None and not self._failing:
            log.warning("traces cannot be exported and are dropped", **failure._asdict())
        elif failure is None and self._failing:
            log.info("traces are exported again")
        self._failing = failure is not None
        return result

    def shutdown(self) -> None:
        """Close the connection."""
        self._exporter.shutdown()


def _not_answered(error: Exception) -> Failure:
    remedy = TRUST if isinstance(error, SSLError) else RUNS
    # The text of a ValueError may repeat a header.
    shown = type(error).__name__ if isinstance(error, ValueError) else reason_of(error)
    return Failure(shown, remedy)


def _refused(answer: Response) -> Failure | None:
    """Why the collector has not taken the spans; None where it has.

    A redirect is no success: the exporter does not follow it.
    """
    status = answer.status_code
    if status < 300:
        return None
    remedy = REMEDIES.get(status, RUNS if status < 400 else REFUSES)
    return Failure(one_line(f"the collector answers {status} {answer.reason}", MAX_REASON), remedy)
