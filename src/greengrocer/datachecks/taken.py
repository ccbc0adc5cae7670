"""When a camera took an image: the one entry of a JPEG's EXIF block that finds bursts.

A general parser copies the values of all entries, and entries may overlap: a small block could
become hundreds of megabytes.
"""

import math
import struct
from datetime import UTC, datetime

SEARCHED = 1 << 17  # bytes from the start of a file: an EXIF segment holds 64 KiB
MARK = b"Exif\0\0"

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_EXIF_DIRECTORY = 0x8769
_ORIGINAL, _CHANGED = 0x9003, 0x0132  # DateTimeOriginal, and DateTime where there is no other
_ENTRY, _MAX_ENTRIES = 12, 1000


def read_taken(data: bytes) -> float:
    """Seconds since 1970 by the camera's own clock, or NaN where the file does not say."""
    at = data.find(MARK, 0, SEARCHED)
    if at < 0:
        return math.nan
    block = memoryview(data)[at + len(MARK) :]
    order = _BYTE_ORDERS.get(bytes(block[:4]))
    if order is None:
        return math.nan
    try:
        (first,) = struct.unpack_from(order + "I", block, 4)
        entries = _read_entries(order, block, first)
        inner = entries.get(_EXIF_DIRECTORY)
        inside = {} if inner is None else _read_entries(order, block, inner)
        where = inside.get(_ORIGINAL, entries.get(_CHANGED))
        return math.nan if where is None else _seconds(bytes(block[where : where + 19]))
    except struct.error:  # the block is truncated
        return math.nan


def _read_entries(order: str, block: memoryview, directory: int) -> dict[int, int]:
    """Tag -> value or offset, of the entries that hold a 32-bit value or more."""
    (count,) = struct.unpack_from(order + "H", block, directory)
    found = {}
    for index in range(min(count, _MAX_ENTRIES)):
        tag, _, _, value = struct.unpack_from(order + "HHII", block, directory + 2 + index * _ENTRY)
        if tag in (_EXIF_DIRECTORY, _ORIGINAL, _CHANGED):
            found[tag] = value
    return found


def _seconds(text: bytes) -> float:
    try:
        when = datetime.strptime(text.decode("ascii"), "%Y:%m:%d %H:%M:%S")
        return when.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):  # "0000:00:00 00:00:00" where the clock was never set
        return math.nan
