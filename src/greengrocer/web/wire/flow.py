"""How far ahead a connection is read."""

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn's, with a bound.

    One request may wait behind the one that is answered: while it is read, it is seen when the
    client leaves. More are not read, or a client would have as many in memory as it likes.
    """

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless enough waits."""
        if len(self._waiting) < 2:
            super().resume_reading()
