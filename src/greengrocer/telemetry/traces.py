"""Traces, which need the extra ``otel``: whether they can be exported, and their start."""

import importlib.util
import os
from typing import TYPE_CHECKING

from greengrocer.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from greengrocer.telemetry.spans import Spans

EXTRA = "otel"
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
# OpenTelemetry's variables that choose an exporter, and the one choice that the extra brings.
CHOICES = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}


def check_traces() -> None:
    """Raise MissingExtra without the extra, or UsageError for a variable that asks for another."""
    try:
        found = importlib.util.find_spec(EXPORTER)
    except ModuleNotFoundError:  # one of the packages around it
        found = None
    if found is None:
        raise MissingExtra("the setting traces", EXTRA)
    for variable, choice in CHOICES.items():
        said = os.environ.get(variable, "").strip()
        if said not in ("", choice):
            raise UsageError(f"{variable} is {said!r}: set it to {choice}, or do not set it")


def start_traces() -> "Spans":
    """Begin to export spans, as OpenTelemetry's variables say; raises UsageError."""
    check_traces()
    from greengrocer.telemetry.spans import Spans, exporting_provider  # noqa: PLC0415  # the extra

    return Spans(exporting_provider())
