"""HEIC and AVIF, if the extra ``heif`` is installed: pillow-heif decodes HEIC, Pillow decodes AVIF.

``read_heif`` finds the image in the boxes of a file without decoding it. ``decode_heif`` gives the
decoder a copy of the file in which only that image is left: no EXIF, text, thumbnails, depth maps
or video. So none of those is read, inflated or decoded.
"""

import importlib.util
import io
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import NamedTuple

from PIL import Image

from greengrocer.errors import BrokenExtra, UnreadableImage, UnsupportedFormat
from greengrocer.imaging.bitstreams import check_av1, check_hevc
from greengrocer.imaging.isobmff import MAX_REFERENCES, Box, Damaged, Meta, Property, name_of
from greengrocer.safe_text import words_of

EXTRA = "heif"
LIBRARY = "pillow_heif"

CODINGS = {b"hvc1": "HEIC", b"av01": "AVIF"}
ALPHA = (b"urn:mpeg:hevc:2015:auxid:1\0", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
TURNS = frozenset({b"clap", b"irot", b"imir"})
# Tiles overlap the edges of their image by less than a tile each way.
SLACK = 1 << 20  # pixels that tiles may have over twice those of the image

_NOTHING = b"skip"  # a type of items and boxes that every reader skips
_SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
_PLAIN_BRANDS = {"HEIC": b"heic", "AVIF": b"avif"}


class HeifImage(NamedTuple):
    """The image of a file, as its boxes describe it. Sides are in pixels, as stored."""

    name: str  # HEIC or AVIF
    width: int
    height: int
    meta: Meta
    coded: tuple[int, ...]  # the items that are decoded; a tile as often as it is shown
    kept: frozenset[int]  # those items and the derived ones that they belong to
    turns: tuple[Property, ...]  # from what is stored to what is shown, in order

    @property
    def coded_pixels(self) -> int:
        """How many pixels are decoded: alpha too, and a tile as often as it is shown."""
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


@cache
def is_installed() -> bool:
    """Whether the extra is installed; nothing is imported."""
    return importlib.util.find_spec(LIBRARY) is not None


def check_installation() -> None:
    """Load the libraries of the extra, if it is installed; raises BrokenExtra."""
    if is_installed():
        _load()


def read_heif(data: bytes | memoryview, others: str = "JPEG, PNG or WebP") -> HeifImage:
    """The image in ``data``, a file that begins with ``ftyp``; nothing is decoded.

    ``others`` names the formats that may be sent instead. Raises UnsupportedFormat (a video, an
    unsupported coding, or the extra is not installed) or UnreadableImage.
    """
    name = name_of(data)
    if name is None:
        raise UnsupportedFormat(f"the file is an MP4 or QuickTime video: send {others}")
    if not is_installed():
        raise UnsupportedFormat(
            f"the file is {name}, which needs the extra {EXTRA!r} where the model runs "
            f"(pip install 'greengrocer[{EXTRA}]'): send {others}"
        )
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


def _read(meta: Meta, name: str) -> HeifImage:
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
    return HeifImage(name, width, height, meta, (*colour, *alpha), kept, turns)


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
    """The auxiliary items that are the alpha of ``items``; others are depth maps and the like."""
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
    """Bound what is decoded: tiles may have few more pixels and bytes than the image shows."""
    sizes = {item: size_of(meta, item) for item in set(items)}
    area = sum(sizes[item][0] * sizes[item][1] for item in items)
    if area > 2 * pixels + SLACK:
        raise Damaged("has tiles with too many pixels for its size")
    if any(meta.content_size(item) == 0 for item in sizes):
        raise Damaged("is truncated: image data is missing")
    if sum(map(meta.content_size, items)) > meta.data_size + 8 * area:
        raise Damaged("uses its bytes too often")


def decode_heif(
    data: bytes | memoryview, image: HeifImage, check: Callable[[], None]
) -> Image.Image:
    """The upright image, in mode L, LA, RGB, RGBA or RGBa.

    ``image`` is what ``read_heif`` found in ``data``. ``check`` may raise a Refusal to stop. It is
    called between the steps: the decoders themselves cannot be stopped. Raises that Refusal,
    UnreadableImage, MemoryError, or an error of the decoder.
    """
    _load()
    try:
        for item in set(image.coded):
            check()
            _check_stream(image, item)
        alone = _alone(data, image)
        check()
        decoded = _decode_heic(alone) if image.name == "HEIC" else _decode_avif(alone, image)
    except Damaged as error:
        raise UnreadableImage(f"the {image.name} {error}") from error
    check()
    return decoded


@cache
def _load() -> None:
    """Import the libraries, and make them decode in the calling thread."""
    try:
        import pillow_heif  # noqa: PLC0415
        from PIL import AvifImagePlugin, _avif  # noqa: PLC0415

        pillow_heif.libheif_version()
        _avif.codec_versions()
    except Exception as error:
        raise BrokenExtra(EXTRA, words_of(error).partition("\n")[0]) from error
    pillow_heif.options.DECODE_THREADS = 0
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DEPTH_IMAGES = False
    pillow_heif.options.AUX_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _check_stream(image: HeifImage, item: int) -> None:
    stream = image.meta.content(item)
    if image.name == "AVIF":
        check_av1(stream, *size_of(image.meta, item))
        return
    found = [content for kind, content in image.meta.properties(item) if kind == b"hvcC"]
    if len(found) != 1:
        raise Damaged("has no hvcC property")
    check_hevc(stream, found[0])


def _alone(data: bytes | memoryview, image: HeifImage) -> bytes:
    """A copy of ``data`` with only the image: all else has a type that readers skip."""
    alone = bytearray(data)
    for number, item in image.meta.items.items():
        if number not in image.kept:
            alone[item.kind_at : item.kind_at + 4] = _NOTHING
    for box in image.meta.boxes():
        if box.kind == b"ftyp":
            _rename(alone, box, _PLAIN_BRANDS[image.name])
        elif box.kind not in (b"meta", b"mdat"):
            alone[box.kind_at : box.kind_at + 4] = _NOTHING
    return bytes(alone)


def _rename(alone: bytearray, ftyp: Box, brand: bytes) -> None:
    """Make ``brand`` the major brand, and replace the brands of image sequences by it."""
    alone[ftyp.start : ftyp.start + 4] = brand
    for at in range(ftyp.start + 8, ftyp.end - 3, 4):
        if alone[at : at + 4] in _SEQUENCES:
            alone[at : at + 4] = brand


def _decode_heic(alone: bytes) -> Image.Image:
    """pillow-heif turns and crops it, as the file's properties say."""
    import pillow_heif  # noqa: PLC0415

    opened = pillow_heif.open_heif(alone, convert_hdr_to_8bit=True)
    decoded = opened[opened.primary_index]
    decoded.load()
    return Image.frombuffer(
        decoded.mode, decoded.size, decoded.data, "raw", decoded.mode, decoded.stride, 1
    )


def _decode_avif(alone: bytes, image: HeifImage) -> Image.Image:
    """Turned and cropped here: Pillow only reports a rotation, and nothing of a crop."""
    from PIL.AvifImagePlugin import AvifImageFile  # noqa: PLC0415

    with AvifImageFile(io.BytesIO(alone)) as decoded:
        if decoded.size != (image.width, image.height):
            raise Damaged("has two headers with different sizes")
        decoded.load()
        shown: Image.Image = decoded
        for turn in image.turns:
            shown = _turned(shown, turn)
        return shown


def _turned(image: Image.Image, turn: Property) -> Image.Image:
    if turn.kind == b"clap":
        box = clean_aperture(turn.content, *image.size)
        return image if box == (0, 0, *image.size) else image.crop(box)
    amount = turn.content[0] if turn.content else 0
    if turn.kind == b"imir":
        return image.transpose(
            Image.Transpose.FLIP_LEFT_RIGHT if amount & 1 else Image.Transpose.FLIP_TOP_BOTTOM
        )
    quarters = (  # anticlockwise, as Pillow's are
        None,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
    )
    method = quarters[amount & 3]
    return image if method is None else image.transpose(method)
