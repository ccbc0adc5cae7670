"""HEIC and AVIF before they are decoded: what the image is made of, and how large it is."""

from fractions import Fraction
from typing import NamedTuple

from greengrocer.errors import UnreadableImage, UnsupportedFormat
from greengrocer.imaging.isobmff import MAX_REFERENCES, Damaged, Meta, Property, name_of

CODINGS = {b"hvc1": "HEIC", b"av01": "AVIF"}
ALPHA = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
TURNS = frozenset({b"clap", b"irot", b"imir"})
# Tiles overlap the edges of their image by less than a tile each way.
SLACK = 1 << 20  # pixels that tiles may have over twice those of the image


class Still(NamedTuple):
    """The image of a file, as its boxes describe it. Sides are in pixels, as stored."""

    name: str  # HEIC or AVIF
    width: int
    height: int
    meta: Meta
    coded: tuple[int, ...]  # the items that are decoded; a tile as often as it is shown
    kept: frozenset[int]  # those and what holds them together
    turns: tuple[Property, ...]  # from what is stored to what is shown, in order

    @property
    def coded_pixels(self) -> int:
        """How many are decoded: those of tiles and of transparency, as often as they are."""
        sizes = {item: size_of(self.meta, item) for item in set(self.coded)}
        return sum(sizes[item][0] * sizes[item][1] for item in self.coded)

    @property
    def coded_bytes(self) -> int:
        """How many bytes are decoded: those of a tile as often as it is shown."""
        return sum(map(self.meta.content_size, self.coded))

    @property
    def is_deep(self) -> bool:
        """Whether samples have more than 8 bits, as the coding's configuration says."""
        return any(
            (each.kind == b"hvcC" and any(byte & 7 for byte in each.content[17:19]))
            or (each.kind == b"av1C" and any(byte & 0x40 for byte in each.content[2:3]))
            for item in set(self.coded)
            for each in self.meta.properties(item)
        )

    @property
    def has_alpha(self) -> bool:
        """Whether a layer of transparency is decoded with it."""
        return any(r.kind == b"auxl" and r.of in self.kept for r in self.meta.references)


def read_still(data: bytes) -> Still:
    """The image in ``data``, a file that begins with ``ftyp``; nothing is decoded.

    Raises UnreadableImage, or UnsupportedFormat for a coding that is not read.
    """
    name = name_of(data) or "HEIF"
    try:
        return _read(Meta(data), name)
    except Damaged as error:
        raise UnreadableImage(f"the {name} {error}") from error


def size_of(meta: Meta, item: int) -> tuple[int, int]:
    """Width and height of ``item`` as stored, in pixels, as its property says."""
    sizes = [content for kind, content in meta.properties(item) if kind == b"ispe"]
    if len(sizes) != 1 or len(sizes[0]) < 12:
        raise Damaged("does not give the size of an image")
    return int.from_bytes(sizes[0][4:8], "big"), int.from_bytes(sizes[0][8:12], "big")


def clean_aperture(content: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom) of a clap's ``content`` in an image of that size."""
    numbers = [int.from_bytes(content[k : k + 4], "big", signed=True) for k in range(0, 32, 4)]
    if len(content) != 32 or min(numbers[1::2]) <= 0:
        raise Damaged("has an invalid clean aperture")
    wide, high, right, down = (Fraction(*numbers[k : k + 2]) for k in (0, 2, 4, 6))
    left, top = round((width - wide) / 2 + right), round((height - high) / 2 + down)
    box = left, top, left + round(wide), top + round(high)
    if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise Damaged("has a clean aperture outside the image")
    return box


def _read(meta: Meta, name: str) -> Still:
    width, height = size_of(meta, meta.primary)
    colour = _coded(meta, meta.primary)
    kinds = {meta.items[item].kind for item in colour}
    alphas = _alphas(meta, {meta.primary, *colour})
    alpha: list[int] = []
    for each in alphas:
        alpha += _coded(meta, each)
        if len(alpha) > MAX_REFERENCES:
            raise Damaged("has too many alpha images")
    if len(kinds | {meta.items[item].kind for item in alpha}) != 1 or not kinds <= set(CODINGS):
        coding = ", ".join(sorted(kind.decode("latin-1") for kind in kinds))
        raise UnsupportedFormat(f"the {name} has the coding {coding!r}: send HEVC, AV1 or JPEG")
    for items in (colour, tuple(alpha)):
        _check_area(meta, items, width * height)
    turns = tuple(each for each in meta.properties(meta.primary) if each.kind in TURNS)
    if len({each.kind for each in turns}) != len(turns):
        raise Damaged("is rotated, mirrored or cropped twice")
    kept = frozenset((meta.primary, *colour, *alphas, *alpha))
    name = CODINGS[kinds.pop()]
    return Still(name, width, height, meta, (*colour, *alpha), kept, turns)


def _coded(meta: Meta, item: int) -> tuple[int, ...]:
    """The items whose streams are decoded for ``item``: itself, or the tiles of its grid."""
    if item not in meta.items:
        raise Damaged("refers to an image that is missing")
    if meta.items[item].kind != b"grid":
        return (item,)
    tiles = meta.made_from(item)
    if not tiles or any(tile not in meta.items for tile in tiles):
        raise Damaged("has a grid without tiles")
    if meta.content_size(item) > 12 or _grid_size(meta.content(item)) != size_of(meta, item):
        raise Damaged("has a grid whose two sizes differ")
    return tiles


def _grid_size(content: bytes) -> tuple[int, int]:
    wide = 4 if content[1:2] == b"\1" else 2
    return (
        int.from_bytes(content[4 : 4 + wide], "big"),
        int.from_bytes(content[4 + wide : 4 + 2 * wide], "big"),
    )


def _alphas(meta: Meta, items: set[int]) -> list[int]:
    """The items that are the transparency of ``items``: others of their kind are depth and such."""
    found: dict[int, int] = {}
    known: dict[int, bool] = {}
    for kind, of, to in meta.references:
        if kind != b"auxl" or len(to) != 1 or to[0] not in items or of not in meta.items:
            continue
        if of not in known:
            known[of] = any(
                each.kind == b"auxC" and each.content[4:].startswith(ALPHA)
                for each in meta.properties(of)
            )
        if known[of]:
            found.setdefault(to[0], of)
    return list(found.values())


def _check_area(meta: Meta, items: tuple[int, ...], pixels: int) -> None:
    """What is decoded costs by its own pixels and bytes, which may be no more than are shown."""
    sizes = {item: size_of(meta, item) for item in set(items)}
    area = sum(sizes[item][0] * sizes[item][1] for item in items)
    if area > 2 * pixels + SLACK:
        raise Damaged("has tiles with too many pixels for its size")
    if any(meta.content_size(item) == 0 for item in sizes):
        raise Damaged("is truncated: image data is missing")
    if sum(map(meta.content_size, items)) > meta.data_size + 8 * area:
        raise Damaged("uses its bytes too often")
