"""Log events on standard error: a line each, as text for people or as JSON for a collector.

If a line cannot be written, as on a full disk or to a pipe that nobody reads, it is dropped: the
service does not wait.
"""

import io
import logging
import os
import select
import sys
from contextlib import suppress
from typing import Literal, TextIO

import structlog

from greengrocer.safe_text import escaped, one_line
from greengrocer.telemetry.library_warnings import report_warnings

LogFormat = Literal["text", "json"]


def configure_logs(level: str, style: LogFormat) -> None:
    """Send structlog's and the standard library's events through one formatter.

    ``level`` is a name of the standard library's, in any case.
    """
    stream = NonBlockingWriter(sys.stderr)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        stream.add_lines_lost,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        # tracebacks without the values of variables: those are images and keys
        else _escaping(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=_plain_traceback
            )
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
    logging.basicConfig(handlers=[handler], level=_level(level), force=True)
    # Pillow logs a line for each entry of each image's EXIF.
    logging.getLogger("PIL").setLevel(max(_level(level), logging.WARNING))
    warned = structlog.get_logger("warnings")
    report_warnings(lambda text: warned.warning("library warning", text=text))


class NonBlockingWriter:
    """Writes lines to ``stream`` without blocking: what cannot be written at once is dropped.

    The first line that is written again has the number of the lines dropped before it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._file = stream.fileno()
        self._lost = 0  # lines, since one was written
        self._torn = False  # whether the last one written lacks its end

    def write(self, text: str) -> None:
        """Write ``text``, a line, if there is room."""
        written = self._written(text.encode(errors="backslashreplace"))
        self._lost = 0 if written else self._lost + 1

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def add_lines_lost(
        self, _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """A structlog processor: add the number of lines dropped before ``event``."""
        if self._lost:
            event["lines_lost"] = self._lost
        return event

    def _written(self, line: bytes) -> bool:
        rest = memoryview(b"\n" + line if self._torn else line)
        whole = len(rest)
        with suppress(OSError):
            while rest and self._has_room():
                # a pipe that is writable has room for PIPE_BUF bytes
                rest = rest[os.write(self._file, rest[: select.PIPE_BUF]) :]
        if len(rest) < whole:
            self._torn = bool(rest)
        return not rest

    def _has_room(self) -> bool:
        return bool(select.select((), (self._file,), (), 0)[1])


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def _escaping(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """``render`` with the values of the event escaped. JSON escapes them itself."""

    def processor(
        logger: structlog.typing.WrappedLogger, name: str, event: structlog.typing.EventDict
    ) -> structlog.typing.ProcessorReturnValue:
        for key, value in event.items():
            if isinstance(value, str):
                event[key] = one_line(value)
        return render(logger, name, event)

    return processor


def _plain_traceback(stream: TextIO, error: structlog.typing.ExcInfo) -> None:
    text = io.StringIO()
    structlog.dev.plain_traceback(text, error)
    stream.write(escaped(text.getvalue(), keep="\n\t"))


def _as_is(
    _: structlog.typing.WrappedLogger, __: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event
