"""HEIC of a grid of tiles that no encoder would write: many of whatever a file can have many of."""

import struct
from dataclasses import dataclass

from support.stills import box, ftyp


def full(kind: bytes, content: bytes, version: int = 0) -> bytes:
    """A box that begins with a version and flags."""
    return box(kind, bytes([version, 0, 0, 0]) + content)


@dataclass(frozen=True)
class Grid:
    """How often what is in the file; no image can be decoded from it."""

    tiles: int = 4
    shown: int = 1  # times that all tiles are
    extents: int = 1  # of a tile
    length: int = 8  # bytes of an extent
    named: int = 1  # properties of an item, the first of which is its size
    alphas: int = 0  # references that may be one to transparency
    alpha_of: int = 0  # the item to which these are; 0: each to another tile
    size: tuple[int, int] = (512, 512)
    more: bytes = b""  # the last property
    spare: bytes = b""  # boxes behind those of the image
    before: bytes = b""  # boxes before it

    def file(self) -> bytes:
        """The bytes of the file."""
        tiles, grid = range(1, self.tiles + 1), self.tiles + 1
        kinds = [(number, b"hvc1") for number in tiles] + [(grid, b"grid")]
        infe = b"".join(
            full(b"infe", struct.pack(">HH4sx", number, 0, kind), 2) for number, kind in kinds
        )
        rest = bytes([3]) * (self.named - 1)
        named = [(number, 2) for number in tiles] + [(grid, 1)]
        ipma = b"".join(
            struct.pack(">HBB", number, self.named, size) + rest for number, size in named
        )
        sizes = [full(b"ispe", struct.pack(">II", *size)) for size in (self.size, (8, 8))]
        ipco = box(b"ipco", b"".join(sizes) + self.more)
        one = struct.pack(">II", 8, self.length)
        iloc = b"".join(
            struct.pack(">HHHH", number, 1, 0, self.extents) + self.extents * one
            for number in tiles
        )
        iloc += struct.pack(">HHHHII", grid, 1, 0, 1, 0, 8)
        dimg = struct.pack(f">HH{self.tiles}H", grid, self.tiles * self.shown, *tiles)
        dimg += dimg[4:] * (self.shown - 1)
        auxl = b"".join(
            box(b"auxl", struct.pack(">HHH", 1 + k % self.tiles, 1, self.alpha_of or 1 + k % 2))
            for k in range(self.alphas)
        )
        count = self.tiles + 1
        meta = [
            full(b"pitm", struct.pack(">H", grid)),
            full(b"iinf", struct.pack(">H", count) + infe),
            box(b"iprp", ipco + full(b"ipma", struct.pack(">I", count) + ipma)),
            full(b"iloc", struct.pack(">HH", 0x4400, count) + iloc, 1),
            full(b"iref", box(b"dimg", dimg) + auxl),
            box(b"idat", bytes(4) + struct.pack(">HH", *self.size) + bytes(64)),
        ]
        start = ftyp(b"heic", b"mif1", b"heic")
        return start + self.before + full(b"meta", b"".join(meta) + self.spare)
