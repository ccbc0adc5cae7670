"""EXIF blocks entry by entry: what no camera would write."""

import struct
from typing import NamedTuple

ORIENTATION = 0x0112
EXIF_DIRECTORY = 0x8769
SHORT, LONG = 3, 4
FIRST = 8  # the offset of the first directory, after the header


class Entry(NamedTuple):
    """An entry of a directory; its value is four bytes, or where to find more of them."""

    tag: int
    kind: int
    values: int  # how many
    value: int


def exif(*entries: Entry, following: int = 0, claimed: int | None = None) -> bytes:
    """A block with one directory, whose number of entries may be ``claimed`` to be another.

    ``following`` is the offset of the directory that is said to come next.
    """
    count = len(entries) if claimed is None else claimed
    directory = struct.pack("<H", count) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    header = b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, FIRST)
    return header + directory + struct.pack("<I", following)


def overlapping(entries: int) -> bytes:
    """A block in which the value of each entry is everything after it."""
    return exif(*[Entry(tag, 7, 50_000, FIRST) for tag in range(entries)]) + bytes(5000)


TURNED = exif(Entry(ORIENTATION, SHORT, 1, 6))
ODD = {
    "next directory is itself": exif(Entry(ORIENTATION, SHORT, 1, 6), following=FIRST),
    "sub-directory is itself": exif(Entry(EXIF_DIRECTORY, LONG, 1, FIRST)),
    "a thousand sub-directories, all itself": exif(*[Entry(EXIF_DIRECTORY, LONG, 1, FIRST)] * 1000),
    "orientation 9": exif(Entry(ORIENTATION, SHORT, 1, 9)),
    "orientation of 4 billion values": exif(Entry(ORIENTATION, LONG, 0xFFFFFFFF, FIRST)),
    "orientation far away": exif(Entry(ORIENTATION, LONG, 9, 0xFFFFFF00)),
    "orientation of type 255": exif(Entry(ORIENTATION, 255, 1, 1)),
    "65,535 entries claimed": exif(claimed=0xFFFF),
    "5,000 entries that lie over each other": overlapping(5000),
    "cut": TURNED[:13],
    "nothing": b"Exif\0\0",
}
