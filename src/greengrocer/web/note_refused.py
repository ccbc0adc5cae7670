"""Counts and logs what the server itself refuses, before it reaches the application."""

from collections.abc import Callable

import structlog

from greengrocer.telemetry.metrics import Metrics
from greengrocer.web.access.address import Client, shown_address

NoteRefused = Callable[[int, str, str, Client], None]  # HTTP status, code, request id, client

log = structlog.get_logger("greengrocer.http")


def note_refused(
    metrics: Metrics, access_log: bool, log_addresses: bool, event: str = "no request"
) -> NoteRefused:
    """A function that counts and logs what the server refused beside the application.

    By default that is bytes which are not a valid request. The address is that of the connection:
    a proxy names its client only in a valid request.
    """

    def note(status: int, code: str, request_id: str, client: Client) -> None:
        metrics.rejections.labels(code).inc()
        address = {"address": shown_address(client)} if log_addresses else {}
        if access_log:
            log.info(event, status=status, refused=code, request_id=request_id, **address)

    return note
