"""From a picture's bytes to upright RGB, under limits.

EXIF orientation is applied, alpha is laid over white, 16 bit is scaled to 8, palettes, grey and
CMYK are converted, and of an animation the first frame counts. ICC profiles are ignored.
"""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from greengrocer.errors import (
    PictureTooSlow,
    Refusal,
    TooManyPixels,
    UnreadablePicture,
)
from greengrocer.imaging.formats import Format, Header, read_header
from greengrocer.imaging.geometry import Pixels

Picture = bytes | Pixels  # a file's bytes, or upright RGB as it is: uint8 [height, width, 3]

PNG_DEPTH = 24  # offset of a PNG's bits a sample
BAND = 1 << 20  # pixels whose colours are converted at a time
SCAN = 0xDAFF  # the two bytes of a JPEG's scan marker as a little-endian number
MAX_EXIF = 1 << 20  # bytes; a JPEG segment holds 64 KiB, so more is no camera's

_BYTES_A_PIXEL = {Format.JPEG: 12, Format.PNG: 17, Format.WEBP: 20}
_BYTES_FIXED = 16_000_000

_ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class DecodeLimits:
    """What a picture may cost."""

    pixels: int = 50_000_000
    seconds: float = 2.0
    bytes: int = 2_000_000_000  # that decoding and fitting hold at their peak

    @property
    def scanned_pixels(self) -> int:
        """Bound on pixels times scans: each scan of a progressive JPEG visits every pixel.

        Scans with nothing in them are read before the clock is looked at. By default they take at
        most 0.7 seconds (measured, 1.5 billion pixels a second), which come on top of the budget.
        """
        return 20 * self.pixels


def count_pixels(picture: Picture, limits: DecodeLimits) -> int:
    """How many pixels it has, by its header; raises a PictureRefused, TooManyPixels above all."""
    if isinstance(picture, bytes):
        header = read_header(picture)
        return _within(header.width, header.height, limits)
    height, width = picture.shape[:2]
    return _within(width, height, limits)


def decoding_bytes(picture: Picture, target: tuple[int, int] | None = None) -> int:
    """Bytes that ``decode`` and ``fit`` hold at their peak, by the picture's header alone.

    ``target`` (width, height, pixels) is what it is fitted to. An upper bound, without the bytes
    of the picture itself. Raises a PictureRefused.
    """
    if not isinstance(picture, bytes):
        return 4 * picture.size
    header = read_header(picture)
    fitted = 4 * target[0] * header.height if target else 0  # squeezed along one side alone
    return _BYTES_A_PIXEL[header.format] * header.pixels + fitted + _BYTES_FIXED


def _within(width: int, height: int, limits: DecodeLimits) -> int:
    pixels = width * height
    if pixels > limits.pixels:
        raise TooManyPixels(
            f"the picture is {width} x {height} pixels, "
            f"{pixels / 1e6:.1f} megapixels: at most {limits.pixels / 1e6:g} are taken"
        )
    return pixels


def decode(
    data: Picture,
    target: tuple[int, int] | None = None,
    limits: DecodeLimits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Image.Image:
    """Decode ``data`` to an upright picture of mode RGB; pixels are wrapped as they are.

    ``target`` (width, height, pixels) lets a JPEG be decoded at a smaller scale, never below the
    target. ``check`` is called about every 64 KiB read and may raise a Refusal to stop.

    Raises a PictureRefused, whatever ``check`` raises, or MemoryError.
    """
    limits = limits or DecodeLimits()
    if not isinstance(data, bytes):
        count_pixels(data, limits)
        return Image.fromarray(data)
    header = read_header(data)
    _within(header.width, header.height, limits)
    reader = _GuardedReader(data, limits.seconds, check)
    try:
        with Image.open(reader, formats=[header.format]) as picture:
            _check_agreement(header, picture)
            if header.format is Format.JPEG:
                return _decode_jpeg(picture, data, target, limits)
            picture.load()
            if header.format is Format.PNG:
                _scale_transparent_colour(picture, depth=data[PNG_DEPTH])
            return _to_rgb(_upright(picture, _orientation(picture)))
    except (Refusal, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise TooManyPixels(f"the picture has too many pixels: {error}") from error
    # The decoder's plugins raise a dozen types, from SyntaxError to struct.error, for bad bytes.
    except Exception as error:
        raise UnreadablePicture(f"the {header.format} is truncated or damaged") from error


def _check_agreement(header: Header, picture: Image.Image) -> None:
    """What the header said was counted and admitted: a second one may not say otherwise."""
    if picture.size != (header.width, header.height):
        raise UnreadablePicture(f"the {header.format} has two headers that disagree")


def _decode_jpeg(
    picture: Image.Image, data: bytes, target: tuple[int, int] | None, limits: DecodeLimits
) -> Image.Image:
    scans = _count_scans(data)
    if scans * picture.width * picture.height > limits.scanned_pixels:
        raise UnreadablePicture(f"the JPEG has {scans} scans, too many for its size")
    orientation = _orientation(picture)
    if target is not None:
        picture.draft(None, target[::-1] if orientation >= 5 else target)
    picture.load()
    return _upright(_to_rgb(picture), orientation)


def _count_scans(data: bytes) -> int:
    """How often 0xFFDA, the marker of a scan, stands in ``data``: in a sixth of ``count``'s time.

    Of two bytes each, those at even places and then those at odd ones; the GIL is released.
    """
    pairs = (np.frombuffer(data, "<u2", (len(data) - odd) // 2, odd) for odd in (0, 1))
    return sum(int(np.count_nonzero(each == SCAN)) for each in pairs)


def _orientation(picture: Image.Image) -> int:
    if len(picture.info.get("exif", b"")) > MAX_EXIF:
        return 1
    try:
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Refusal:
        raise
    # A damaged EXIF block is no reason to refuse a sound picture.
    except Exception:
        return 1
    return orientation if orientation in _ORIENTATIONS else 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    method = _ORIENTATIONS.get(orientation)
    return picture if method is None else picture.transpose(method)


def _scale_transparent_colour(picture: Image.Image, depth: int) -> None:
    """The one colour that a PNG calls transparent is given in its own depth; the pixels have 8."""
    colour = picture.info.get("transparency")
    if isinstance(colour, int) and picture.mode == "L" and depth < 8:
        picture.info["transparency"] = colour * 255 // ((1 << depth) - 1)
    elif isinstance(colour, tuple) and depth == 16:
        picture.info["transparency"] = tuple(sample >> 8 for sample in colour)


def _to_rgb(picture: Image.Image) -> Image.Image:
    """In RGB; converted band by band, or a large picture would be in memory five times over."""
    if picture.mode == "RGB" and "transparency" not in picture.info:
        return picture
    width, height = picture.size
    rows = max(1, BAND // width)
    if height <= rows:
        return _band_to_rgb(picture)
    rgb = Image.new("RGB", picture.size)
    for top in range(0, height, rows):
        band = (0, top, width, min(top + rows, height))
        rgb.paste(_band_to_rgb(picture.crop(band)), band)
    return rgb


def _band_to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.uint32).clip(0, 65535)
        grey = ((deep + 128) // 257).astype(np.uint8)
        if "transparency" in picture.info:
            grey[deep == picture.info["transparency"]] = 255
        return Image.fromarray(grey).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


class _GuardedReader(io.BytesIO):
    """The bytes as a file that looks at the clock whenever the decoder wants more."""

    def __init__(self, data: bytes, seconds: float, check: Callable[[], None]) -> None:
        super().__init__(data)
        self._deadline = time.thread_time() + seconds
        self._seconds = seconds
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        if time.thread_time() > self._deadline:
            raise PictureTooSlow(f"decoding took over {self._seconds:g} seconds")
        return super().read(size)
