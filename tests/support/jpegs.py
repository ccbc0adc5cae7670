"""JPEG files that were taken apart and put together again."""

import struct

APP1 = b"\xff\xe1"
APP2 = b"\xff\xe2"
SCAN = b"\xff\xda"


def with_segment(jpeg: bytes, marker: bytes, content: bytes) -> bytes:
    """The JPEG with one more segment right behind its first marker."""
    return jpeg[:2] + marker + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def with_repeated_scan(progressive: bytes, times: int) -> bytes:
    """A progressive JPEG whose first scan comes ``times`` times."""
    start = progressive.index(SCAN)
    end = progressive.index(b"\xff", start + 2)
    while progressive[end + 1] == 0:  # a stuffed byte of the scan's own
        end = progressive.index(b"\xff", end + 1)
    return progressive[:start] + progressive[start:end] * times + progressive[end:]
