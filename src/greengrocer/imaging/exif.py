"""How an image is to be held, by its EXIF block: the one entry that is needed is all that is read.

A general parser copies the values of all entries, which may lie over each other: 64 KiB would
become hundreds of megabytes.
"""

import struct

UPRIGHT = 1
PREFIX = b"Exif\0\0"  # in a JPEG it comes before the block, elsewhere it may

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRY = 12  # bytes
_MOST_ENTRIES = 1000  # that are looked at; cameras write some dozens


def read_orientation(block: bytes | memoryview) -> int:
    """The orientation that the EXIF ``block`` tells, 1 to 8; 1 where it tells none or is damaged.

    Looks at the first thousand entries of the first directory alone.
    """
    block = memoryview(block)
    if block[: len(PREFIX)] == PREFIX:
        block = block[len(PREFIX) :]
    order = _BYTE_ORDERS.get(bytes(block[:4]))
    if order is None:
        return UPRIGHT
    try:
        (directory,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, directory)
        first = directory + 2
        for at in range(
            first, min(first + min(entries, _MOST_ENTRIES) * _ENTRY, len(block)), _ENTRY
        ):
            tag, kind = struct.unpack_from(order + "HH", block, at)
            if tag == _ORIENTATION:
                return _value(order, kind, block, at + 8)
    except struct.error:  # it ends before
        pass
    return UPRIGHT


def _value(order: str, kind: int, block: memoryview, at: int) -> int:
    if kind not in (_SHORT, _LONG):
        return UPRIGHT
    (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), block, at)
    return int(value) if 1 <= value <= 8 else UPRIGHT
