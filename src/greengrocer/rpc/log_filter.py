"""Keeps records of gRPC out of the log that a client causes, or that may have an API key."""

import logging

from greengrocer.rpc.call import CALL_IS_OVER

LOGGER = "grpc._cython.cygrpc"
# Of a client that has disconnected, and of metadata that are not UTF-8: that record has the value,
# which may be an API key.
DROPPED = frozenset({CALL_IS_OVER, "UnicodeDecodeError"})


def filter_log() -> None:
    """Filter what the library logs; calling it again changes nothing."""
    logging.getLogger(LOGGER).addFilter(_may_be_logged)


def _may_be_logged(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC is about something else than what is in DROPPED."""
    error = record.exc_info and record.exc_info[0]
    return not (error and error.__name__ in DROPPED)
