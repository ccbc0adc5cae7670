"""WebP files, chunk by chunk: what no encoder would write."""

import struct

ANIMATED, EXIF, ICC = 0x02, 0x08, 0x20


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length, padded to an even one."""
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def webp(*chunks: bytes, claimed: int | None = None) -> bytes:
    """A file of these chunks, whose length may be ``claimed`` to be another."""
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) if claimed is None else claimed) + content


def three(number: int) -> bytes:
    """A number as the format writes sizes: three bytes, one less than it is."""
    return struct.pack("<I", number - 1)[:3]


def canvas(size: tuple[int, int], flags: int = 0) -> bytes:
    """The chunk of an extended file that gives its size."""
    return chunk(b"VP8X", bytes([flags, 0, 0, 0]) + three(size[0]) + three(size[1]))


def image(still: bytes) -> bytes:
    """The chunk of a simple file that holds its image."""
    length = int.from_bytes(still[16:20], "little")
    return still[12 : 20 + length + length % 2]


def animated(size: tuple[int, int], still: bytes, of: tuple[int, int], frames: int) -> bytes:
    """An animation whose frames are all ``still``, a simple file ``of`` this size."""
    frame = bytes(6) + three(of[0]) + three(of[1]) + b"\x01\0\0\0" + image(still)
    start = (canvas(size, ANIMATED), chunk(b"ANIM", bytes(6)))
    return webp(*start, *[chunk(b"ANMF", frame)] * frames)
