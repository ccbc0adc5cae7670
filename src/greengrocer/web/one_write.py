"""An answer's head and body in one write: one system call and one packet instead of two."""

import asyncio


class Held:
    """Stands in for a transport while an answer begins, and keeps its head."""

    def __init__(self) -> None:
        self.head = b""

    def write(self, data: bytes) -> None:
        """Keep ``data``."""
        self.head += data


class Joined:
    """Stands in for a transport while the body's first part is written: the head goes with it."""

    def __init__(self, transport: asyncio.Transport, head: bytes) -> None:
        self._transport = transport
        self.head = head

    def write(self, data: bytes) -> None:
        """Write what was kept, and ``data``."""
        self._transport.write(self.head + data)
        self.head = b""

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()
