"""The orientation in an EXIF block: the only entry that is read.

A general parser copies the values of all entries, and entries may overlap: 64 KiB could become
hundreds of megabytes.
"""

import struct

UPRIGHT = 1
PREFIX = b"Exif\0\0"  # in a JPEG it comes before the block, elsewhere it may
MAX_EXIF = 1 << 20  # bytes; a JPEG's segment holds 64 KiB, and cameras write no more elsewhere

_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ENTRY = 12  # bytes
_MAX_ENTRIES = 1000  # cameras write some dozens


def read_orientation(block: bytes | memoryview) -> int:
    """The orientation in the EXIF ``block``, 1 to 8; 1 if it has none or is damaged.

    Only the first thousand entries of the first directory are read.
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
            first, min(first + min(entries, _MAX_ENTRIES) * _ENTRY, len(block)), _ENTRY
        ):
            tag, kind = struct.unpack_from(order + "HH", block, at)
            if tag == _ORIENTATION:
                return _value(order, kind, block, at + 8)
    except struct.error:  # the block is truncated
        pass
    return UPRIGHT


def _value(order: str, kind: int, block: memoryview, at: int) -> int:
    if kind not in (_SHORT, _LONG):
        return UPRIGHT
    (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), block, at)
    return int(value) if 1 <= value <= 8 else UPRIGHT
