"""A body's pieces for a reader that pauses: its own pauses do not count against the client."""

import asyncio
import time
from collections.abc import AsyncIterator

from starlette.types import Receive

from greengrocer.errors import ClientDisconnected, DeadlineExceeded, SlowUpload, TooManyBytes
from greengrocer.web.body.upload import UploadLimits


async def pieces(receive: Receive, limits: UploadLimits, end: float) -> AsyncIterator[bytes]:
    """The body as it comes, until the moment ``end`` in monotonic seconds.

    Raises TooManyBytes for more than a request may have, SlowUpload, DeadlineExceeded or
    ClientDisconnected.
    """
    came, patience = 0, limits.grace
    more = True
    while more:
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(patience, end - began)):
                message = await receive()
        except TimeoutError:
            if end - began < patience:
                raise DeadlineExceeded("the deadline passed before all was sent") from None
            raise SlowUpload(f"only {came} bytes came in time: send faster") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnected("the client disconnected during its upload")
        patience -= time.monotonic() - began
        chunk = message.get("body", b"")
        patience = min(patience + len(chunk) / limits.rate, limits.grace)
        more = message.get("more_body", False)
        came += len(chunk)
        if came > limits.request_bytes:
            raise TooManyBytes(
                f"the body is longer than the {limits.request_bytes} bytes that are taken"
            )
        yield chunk
