"""What a client of HTTP/2 sends until it has acknowledged the server's settings.

Until then they do not hold (RFC 9113, section 6.5.3), also not the limit of headers, and gRPC takes
16 MB of them a call: references to one header make a megabyte of a few kilobytes (measured: 12 MB
sent take 750 MB). So all but the client's own settings wait for the acknowledgement.
"""

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD = 9  # bytes of a frame before its payload: length (3), type (1), flags (1), stream (4)
SETTINGS, ACKNOWLEDGEMENT = 4, 1  # a type of frame, and its flag
FRAME_BYTES = 1 << 14  # at most, before more was agreed
# At most so much waits: what a client may send of messages before it has read how much that is
# (RFC 9113, section 6.9.2), 65,535 bytes, and as much of headers.
WAITING_BYTES = 1 << 17


class Settled:
    """Holds back the frames of one client; ``over`` once its acknowledgement has come."""

    def __init__(self) -> None:
        self.over = False
        self._unread = bytearray()
        self._waiting: bytearray | None = None  # None before the client's own settings

    def feed(self, data: bytes) -> bytes:
        """What the server gets now, in order but for the acknowledgement, which goes first.

        Raises ValueError where the client does not speak HTTP/2, or sends too much before.
        """
        self._unread += data
        now = b""
        if self._waiting is None:
            own = self._frame(len(PREFACE))
            if not own:
                return b""
            now, self._waiting = PREFACE + own, bytearray()
        while frame := self._frame():
            if frame[3] == SETTINGS and frame[4] & ACKNOWLEDGEMENT:
                self.over = True
                return now + frame + self._waiting + self._unread
            self._waiting += frame
        if len(self._waiting) + len(self._unread) > WAITING_BYTES:
            raise ValueError("too much before the acknowledgement of the settings")
        return now

    def _frame(self, at: int = 0) -> bytes:
        """The next frame, taken out of what is unread; empty if it has not come as a whole.

        Before the first one, its settings, is the preface.
        """
        if not PREFACE.startswith(self._unread[:at]):
            raise ValueError("not HTTP/2")
        head = self._unread[at : at + HEAD]
        if len(head) < HEAD:
            return b""
        length = int.from_bytes(head[:3], "big")
        if length > FRAME_BYTES or (at and (head[3] != SETTINGS or head[4] & ACKNOWLEDGEMENT)):
            raise ValueError("not a frame that may come now")
        end = at + HEAD + length
        if len(self._unread) < end:
            return b""
        frame = bytes(self._unread[at:end])
        del self._unread[:end]
        return frame
