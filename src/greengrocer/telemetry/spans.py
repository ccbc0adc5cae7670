"""Spans of requests, of images and of their stages, by OpenTelemetry (the extra ``otel``).

A span of the current request is the parent of those that are made in its tasks. Without one, or
where it is not sampled, nothing is made. OpenTelemetry's environment variables say what is sampled
and where spans go. It exports them from a thread of its own; its queue is bounded, and a
span that finds it full takes the place of the oldest, which is dropped.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import (
    Span,
    SpanContext,
    SpanKind,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
    use_span,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from structlog.contextvars import bound_contextvars

from greengrocer.context import Mark
from greengrocer.errors import UsageError
from greengrocer.telemetry import inference_attributes as inference
from greengrocer.telemetry.reporting_exporter import ReportingExporter
from greengrocer.version import __version__

NAME = "greengrocer"
CLOSE_SECONDS = 3.0  # to export what waits when the service stops
# What they log of each request with a malformed header, and of each failed attempt to export.
LOUD = ("opentelemetry.trace", "opentelemetry.exporter", "opentelemetry.sdk._shared_internal")

Headers = Iterable[tuple[bytes, bytes]]


class Spans:
    """Makes spans, with the times that were measured, in monotonic seconds."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(NAME, __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(
        self, name: str, headers: Headers, attributes: Mapping[str, str], arrived: float
    ) -> Iterator[Span]:
        """The span of a request that ``arrived``, until the block ends.

        It continues the trace of ``headers`` if they name one (W3C Trace Context), and its ids are
        in all lines that are logged meanwhile.
        """
        parent = self._propagator.extract(tuple(headers), getter=_IN_HEADERS)
        span = self._tracer.start_span(
            name, parent, SpanKind.SERVER, attributes, start_time=_since_epoch(arrived)
        )
        with (
            use_span(span, record_exception=False, set_status_on_exception=False),
            bound_contextvars(**ids_of(span.get_span_context())),
        ):
            try:
                yield span
            finally:
                span.end(_since_epoch(time.monotonic()))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A span of a stage of the request, until the block ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            if get_current_span().is_recording():
                start = _since_epoch(began)
                span = self._tracer.start_span(name, start_time=start)
                span.end(_since_epoch(time.monotonic()))

    def image(
        self, marks: Sequence[Mark], model: tuple[str, str], request_id: str, refused: str = ""
    ) -> None:
        """Make the spans of an image whose work is over: its own, and one for each stage.

        ``model`` is the name and version of its model. ``refused`` is the code of a refusal.
        """
        if not get_current_span().is_recording() or not marks:
            return
        moments = [(stage, _since_epoch(moment)) for stage, moment in marks]
        name, version = model
        attributes = {
            inference.MODEL_NAME: name,
            inference.MODEL_VERSION: version,
            inference.REQUEST_ID: request_id,
            **({ERROR_TYPE: refused} if refused else {}),
        }
        image = self._tracer.start_span(
            inference.SPAN, attributes=attributes, start_time=moments[0][1]
        )
        parent = set_span_in_context(image)
        for (stage, began), (_, ended) in pairwise(moments):
            if stage != "end":
                self._tracer.start_span(stage, parent, start_time=began).end(ended)
        image.end(moments[-1][1])

    def exemplar(self) -> dict[str, str] | None:
        """The labels that lead from a metric to the trace of the request, if it is exported."""
        context = get_current_span().get_span_context()
        return ids_of(context) if context.trace_flags.sampled else None

    def close(self) -> None:
        """Export what waits, and stop; it takes at most ``CLOSE_SECONDS``."""
        # The exporter may be in the middle of its attempts, of which nothing else ends the wait.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)


def exporting_provider() -> TracerProvider:
    """What samples and exports as OpenTelemetry's variables say.

    Raises UsageError for a variable that has no meaning.
    """
    ours: dict[str, str] = {SERVICE_VERSION: __version__}
    named = f"{SERVICE_NAME}=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named and not os.environ.get(OTEL_SERVICE_NAME):
        ours[SERVICE_NAME] = NAME
    try:
        provider = TracerProvider(resource=Resource.create(ours), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(ReportingExporter()))
    except ValueError as error:
        raise UsageError(f"a variable OTEL_... cannot be used: {error}") from error
    # Only now: until here they warn of values that they ignore.
    for logger in LOUD:
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    return provider


def ids_of(context: SpanContext) -> dict[str, str]:
    """The ids of a span and its trace, in hex, as logs and metrics have them."""
    return {
        "trace_id": format_trace_id(context.trace_id),
        "span_id": format_span_id(context.span_id),
    }


def _since_epoch(moment: float) -> int:
    """Nanoseconds since 1970 at a moment of the monotonic clock, in seconds."""
    return time.time_ns() - round((time.monotonic() - moment) * 1e9)


class _HeaderGetter(Getter[Sequence[tuple[bytes, bytes]]]):
    """Reads the headers of an ASGI scope. A repeated traceparent is read as none."""

    def get(self, carrier: Sequence[tuple[bytes, bytes]], key: str) -> list[str] | None:
        """The values of a header; None without any."""
        wanted = key.encode()
        values = [value.decode("latin-1") for name, value in carrier if name == wanted]
        return values if values and (len(values) == 1 or key == "tracestate") else None

    def keys(self, carrier: Sequence[tuple[bytes, bytes]]) -> list[str]:
        """The names of all headers."""
        return [name.decode("latin-1") for name, _ in carrier]


_IN_HEADERS = _HeaderGetter()
