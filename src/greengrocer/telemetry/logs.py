"""One line an event on standard error: readable to a person, or JSON to a collector.

Where it cannot be written, as on a full disk, the line is lost and nothing else.
"""

import logging
import sys
from contextlib import suppress
from typing import Literal, TextIO

import structlog

LogFormat = Literal["text", "json"]


def configure_logs(level: str, style: LogFormat) -> None:
    """Send structlog's and the standard library's events through one formatter.

    ``level`` is a name of the standard library's, in any case.
    """
    stream = Lossy(sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        # tracebacks without the values of variables: those are pictures and keys
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info if style == "json" else _as_is,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        # a line in one write, its end included: several processes may share standard error
        logger_factory=structlog.WriteLoggerFactory(stream),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared)
    )
    logging.captureWarnings(capture=True)
    logging.basicConfig(handlers=[handler], level=_level(level), force=True)


class Lossy:
    """``stream``, where whatever cannot be written is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write ``text``, if there is room."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Write what is left, if there is room."""
        with suppress(OSError):
            self._stream.flush()


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def _as_is(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event
