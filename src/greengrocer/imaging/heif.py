"""HEIC and AVIF, where the extra ``heif`` is installed: pillow-heif reads HEIC, Pillow AVIF.

The decoders get a copy of the file in which nothing is left but the one image: no EXIF, no text,
no thumbnails, no depth, no film. So none of it is read, inflated or decoded.
"""

import importlib.util
import io
from collections.abc import Callable
from functools import cache

from PIL import Image

from greengrocer.errors import BrokenExtra, UnreadableImage, UnsupportedFormat
from greengrocer.imaging.isobmff import Box, Damaged, Property, name_of
from greengrocer.imaging.stills import Still, clean_aperture, read_still, size_of
from greengrocer.imaging.streams import check_av1, check_hevc

EXTRA = "heif"
LIBRARY = "pillow_heif"

_NOTHING = b"skip"  # a type of items and boxes that every reader passes over
_SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs")
_PLAIN_BRANDS = {"HEIC": b"heic", "AVIF": b"avif"}


@cache
def is_installed() -> bool:
    """Whether the extra is there; nothing is imported."""
    return importlib.util.find_spec(LIBRARY) is not None


def check_installation() -> None:
    """Load what the extra brings, if it is there; raises BrokenExtra."""
    if is_installed():
        _load()


def look(data: bytes, others: str) -> Still:
    """The still image in ``data``, a file that begins with ``ftyp``; nothing is decoded.

    ``others`` names what else may be sent. Raises UnsupportedFormat (a film, or the extra is not
    installed) or UnreadableImage.
    """
    name = name_of(data)
    if name is None:
        raise UnsupportedFormat(f"the file is an MP4 or QuickTime video: send {others}")
    if not is_installed():
        raise UnsupportedFormat(
            f"the file is {name}, which needs the extra {EXTRA!r} where the model runs "
            f"(pip install 'greengrocer[{EXTRA}]'): send {others}"
        )
    return read_still(data)


def decode_still(data: bytes, still: Still, check: Callable[[], None]) -> Image.Image:
    """The image as it is to be shown, in mode L, LA, RGB, RGBA or RGBa.

    ``still`` is what ``read_still`` found in ``data``. ``check`` may raise a Refusal to stop. It is
    asked between the steps: the decoders themselves cannot be stopped. Raises that Refusal,
    UnreadableImage, MemoryError, or what they raise.
    """
    _load()
    try:
        for item in set(still.coded):
            check()
            _check_stream(still, item)
        alone = _alone(data, still)
        check()
        picture = _decode_heic(alone) if still.name == "HEIC" else _decode_avif(alone, still)
    except Damaged as error:
        raise UnreadableImage(f"the {still.name} {error}") from error
    check()
    return picture


@cache
def _load() -> None:
    """Import the libraries, and have them decode in the thread that calls."""
    try:
        import pillow_heif  # noqa: PLC0415
        from PIL import AvifImagePlugin, _avif  # noqa: PLC0415

        pillow_heif.libheif_version()
        _avif.codec_versions()
    except Exception as error:
        told = str(error).splitlines() or [type(error).__name__]
        raise BrokenExtra(EXTRA, told[0]) from error
    pillow_heif.options.DECODE_THREADS = 0
    pillow_heif.options.THUMBNAILS = False
    pillow_heif.options.DEPTH_IMAGES = False
    pillow_heif.options.AUX_IMAGES = False
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def _check_stream(still: Still, item: int) -> None:
    stream = still.meta.content(item)
    if still.name == "AVIF":
        check_av1(stream, *size_of(still.meta, item))
        return
    found = [content for kind, content in still.meta.properties(item) if kind == b"hvcC"]
    if len(found) != 1:
        raise Damaged("has no hvcC property")
    check_hevc(stream, found[0])


def _alone(data: bytes, still: Still) -> bytes:
    """``data`` without anything but the image: what else there is, is of a type of nothing."""
    alone = bytearray(data)
    for number, item in still.meta.items.items():
        if number not in still.kept:
            alone[item.kind_at : item.kind_at + 4] = _NOTHING
    for box in still.meta.boxes():
        if box.kind == b"ftyp":
            _rename(alone, box, _PLAIN_BRANDS[still.name])
        elif box.kind not in (b"meta", b"mdat"):
            alone[box.kind_at : box.kind_at + 4] = _NOTHING
    return bytes(alone)


def _rename(alone: bytearray, ftyp: Box, brand: bytes) -> None:
    """It is of ``brand``, and no sequence: the film that would be one is no longer there."""
    alone[ftyp.start : ftyp.start + 4] = brand
    for at in range(ftyp.start + 8, ftyp.end - 3, 4):
        if alone[at : at + 4] in _SEQUENCES:
            alone[at : at + 4] = brand


def _decode_heic(alone: bytes) -> Image.Image:
    """Turned and cropped by the library, as the file's properties say."""
    import pillow_heif  # noqa: PLC0415

    pictures = pillow_heif.open_heif(alone, convert_hdr_to_8bit=True)
    picture = pictures[pictures.primary_index]
    picture.load()
    return Image.frombuffer(
        picture.mode, picture.size, picture.data, "raw", picture.mode, picture.stride, 1
    )


def _decode_avif(alone: bytes, still: Still) -> Image.Image:
    """Turned and cropped here: Pillow only tells of the one, and nothing of the other."""
    from PIL.AvifImagePlugin import AvifImageFile  # noqa: PLC0415

    with AvifImageFile(io.BytesIO(alone)) as picture:
        if picture.size != (still.width, still.height):
            raise Damaged("has two headers with different sizes")
        picture.load()
        shown: Image.Image = picture
        for turn in still.turns:
            shown = _turned(shown, turn)
        return shown


def _turned(picture: Image.Image, turn: Property) -> Image.Image:
    if turn.kind == b"clap":
        box = clean_aperture(turn.content, *picture.size)
        return picture if box == (0, 0, *picture.size) else picture.crop(box)
    amount = turn.content[0] if turn.content else 0
    if turn.kind == b"imir":
        return picture.transpose(
            Image.Transpose.FLIP_LEFT_RIGHT if amount & 1 else Image.Transpose.FLIP_TOP_BOTTOM
        )
    quarters = (  # anticlockwise, as Pillow's are
        None,
        Image.Transpose.ROTATE_90,
        Image.Transpose.ROTATE_180,
        Image.Transpose.ROTATE_270,
    )
    method = quarters[amount & 3]
    return picture if method is None else picture.transpose(method)
