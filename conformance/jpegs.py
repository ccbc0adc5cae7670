"""JPEG files that were taken apart and put together wrongly."""

import struct

SOI, EOI, SCAN = b"\xff\xd8", b"\xff\xd9", b"\xff\xda"
APP1, APP2, COMMENT = b"\xff\xe1", b"\xff\xe2", b"\xff\xfe"
FRAMES = (b"\xff\xc0", b"\xff\xc2")
MOST = 65533  # bytes of content that a segment holds


def segment(marker: bytes, content: bytes) -> bytes:
    """A segment with its length."""
    return marker + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The JPEG with more segments right after its first marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def with_icc(jpeg: bytes, size: int) -> bytes:
    """The JPEG with a colour profile of ``size`` meaningless bytes, in as many pieces as needed."""
    room = MOST - 14
    pieces = [bytes(min(room, size - start)) for start in range(0, size, room)]
    return with_segments(
        jpeg,
        *(
            segment(APP2, b"ICC_PROFILE\0" + bytes([k % 256, len(pieces) % 256]) + piece)
            for k, piece in enumerate(pieces, 1)
        ),
    )


def frame(jpeg: bytes) -> int:
    """Where the frame header begins."""
    return min(at for at in map(jpeg.find, FRAMES) if at > 0)


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG whose header says another size."""
    return patched(jpeg, 5, struct.pack(">HH", height, width))


def patched(jpeg: bytes, offset: int, new: bytes) -> bytes:
    """The JPEG with ``new`` bytes at this offset of its frame header."""
    at = frame(jpeg) + offset
    return jpeg[:at] + new + jpeg[at + len(new) :]


def without(jpeg: bytes, marker: bytes) -> bytes:
    """The JPEG without its segments of this kind."""
    while (at := jpeg.find(marker)) > 0:
        jpeg = jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]
    return jpeg


def with_repeated_scan(progressive: bytes, times: int) -> bytes:
    """A progressive JPEG whose first scan comes ``times`` times."""
    start = progressive.index(SCAN)
    end = progressive.index(b"\xff", start + 2)
    while progressive[end + 1] == 0:  # a stuffed byte of the scan's own
        end = progressive.index(b"\xff", end + 1)
    return progressive[:start] + progressive[start:end] * times + progressive[end:]
