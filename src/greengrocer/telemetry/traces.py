"""Traces, which need the extra ``otel``: whether they can be exported, and their start."""

import importlib.util
from typing import TYPE_CHECKING

from greengrocer.errors import MissingExtra
from greengrocer.telemetry.trace_variables import check_trace_variables

if TYPE_CHECKING:
    from greengrocer.telemetry.spans import Spans

EXTRA = "otel"
EXPORTER = "opentelemetry.exporter.otlp.proto.http"


def check_traces() -> None:
    """Raise MissingExtra without the extra, or UsageError for a variable that cannot be obeyed."""
    try:
        found = importlib.util.find_spec(EXPORTER)
    except ModuleNotFoundError:  # one of the packages around it
        found = None
    if found is None:
        raise MissingExtra("the setting traces", EXTRA)
    check_trace_variables()


def start_traces() -> "Spans":
    """Begin to export spans, as OpenTelemetry's variables say; raises UsageError."""
    check_traces()
    from greengrocer.telemetry.spans import Spans, exporting_provider  # noqa: PLC0415  # the extra

    return Spans(exporting_provider())
