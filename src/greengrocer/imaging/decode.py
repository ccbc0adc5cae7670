"""Decode an image's bytes to upright RGB, under limits.

EXIF orientation is applied, alpha is composited over white, 16 bit is scaled to 8, palettes, grey
and CMYK are converted, and the first frame of an animation is decoded. ICC profiles are ignored.
The decoder sees only the parts of a file that are needed: see ``png``, ``jpeg`` and ``webp``.
"""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import IO, ParamSpec, TypeAlias, TypeVar, cast

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, WebPImagePlugin

from greengrocer.errors import ImageTooSlow, Refusal, TooManyPixels, UnreadableImage
from greengrocer.imaging import cost, jpeg, png, webp
from greengrocer.imaging.colour import bands, upright_rgb
from greengrocer.imaging.exif import UPRIGHT
from greengrocer.imaging.formats import Format, Header, read_header, read_structure
from greengrocer.imaging.geometry import Pixels
from greengrocer.imaging.heif import HeifImage, decode_heif
from greengrocer.imaging.jpeg import Jpeg
from greengrocer.imaging.jpeg_decoder import decode_jpeg
from greengrocer.imaging.stripped import PartsReader, Stripped

# An image as it was sent: a file's bytes, or a view of them, or upright RGB, uint8 [height, width,
# 3]. It is not called Image, which is Pillow's decoded one.
Picture = bytes | memoryview | Pixels

Size: TypeAlias = tuple[int, int]
Parts: TypeAlias = list[bytes | memoryview]
P = ParamSpec("P")
R = TypeVar("R")

# A JPEG that takes longer, by its bound, is decoded in pieces, so that the clock can stop it.
AT_ONCE_SECONDS = 0.5
PNG_BLOCK = 1 << 14  # bytes of a PNG that are decompressed between two checks of the clock

# Image.open would check images against Pillow's own limit, and warn; DecodeLimits replaces it.
_OPEN: dict[Format, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    Format.PNG: PngImagePlugin.PngImageFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
}


MOST_SCANS = 100  # of a progressive JPEG; encoders make ten or so, those that try many some dozens


@dataclass(frozen=True)
class DecodeLimits:
    """Limits on the pixels, processor time and memory of decoding one image."""

    pixels: int = 120_000_000
    seconds: float = 4.0  # of processor time
    bytes: int = 2_000_000_000  # that decoding and fitting hold at their peak

    @property
    def scanned_pixels(self) -> int:
        """Limit on pixels times scans: each scan of a progressive JPEG visits every pixel.

        Empty scans are decoded before the clock is read. By default they take at most 1.2 seconds
        (measured, 1.5 billion pixels a second), in addition to ``seconds``.
        """
        return 14 * self.pixels


def count_pixels(image: Picture, limits: DecodeLimits) -> int:
    """The number of pixels, from the header; raises an ImageRefused, TooManyPixels among them."""
    if isinstance(image, np.ndarray):
        height, width = image.shape[:2]
        return check_pixels(width, height, limits)
    header = read_header(image)
    return check_pixels(header.width, header.height, limits)


def check_pixels(width: int, height: int, limits: DecodeLimits) -> int:
    """The number of pixels; raises TooManyPixels."""
    pixels = width * height
    if pixels > limits.pixels:
        raise TooManyPixels(
            f"the image is {width} x {height} pixels, "
            f"{pixels / 1e6:.1f} megapixels: at most {limits.pixels / 1e6:g} are accepted, "
            "send a smaller image"
        )
    return pixels


def _check_bytes(needed: int, limits: DecodeLimits) -> int:
    if needed > limits.bytes:
        raise TooManyPixels(
            f"decoding the image would take {needed / 1e6:,.0f} MB of memory: "
            f"at most {limits.bytes / 1e6:,.0f} are allowed, send a smaller image"
        )
    return needed


def _without_frames(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, whose errors refer to none of its frames.

    Frames would keep pixels and the file in memory as long as the error exists.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (Refusal, MemoryError) as error:
            refusal: Exception = error.with_traceback(None)
            refusal.__cause__ = refusal.__context__ = None
        try:
            raise refusal
        finally:
            del args, kwargs, refusal

    return wrapper


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """An image whose header was read and is within the limits, ready to be decoded.

    ``memory_bytes`` is an upper bound on what ``decode`` and ``fit`` hold at their peak, without
    the bytes of the image itself.
    """

    image: Picture
    target: Size | None
    limits: DecodeLimits
    memory_bytes: int
    header: Header | None = None  # None for pixels
    jpeg: Jpeg | None = None  # the structure of a JPEG
    heif: HeifImage | None = None  # that of a HEIC or AVIF

    @_without_frames
    def decode(self, check: Callable[[], None] = lambda: None) -> Image.Image:
        """The upright image, in mode RGB; pixels are wrapped as they are.

        ``check`` may raise a Refusal to stop. It is called about every 64 KiB of a PNG, and of a
        JPEG that may take over half a second; else before and after decoding. Raises an
        ImageRefused, whatever ``check`` raises, or MemoryError. The error holds no frame of the
        decoder.
        """
        if self.header is None:
            return Image.fromarray(cast("Pixels", self.image))
        try:
            return _decode(self, self.header, _Clock(self.limits.seconds, check))
        except (Refusal, MemoryError):
            raise
        # Pillow's plugins raise a dozen types, from SyntaxError to struct.error, for bad bytes.
        except Exception as error:
            raise UnreadableImage(f"the {self.header.format} is truncated or damaged") from error


@_without_frames
def plan_decode(
    image: Picture,
    target: Size | None = None,
    limits: DecodeLimits | None = None,
    *,
    whole: bool = False,
) -> DecodePlan:
    """Read the header of ``image``, once, and check it against ``limits``; nothing is decoded.

    ``target`` (width, height, pixels) is what the image is fitted to. It lets a JPEG be decoded at
    a smaller scale, never below the target, unless ``whole`` is set. Raises an ImageRefused:
    TooManyPixels for too many pixels or too much memory.
    """
    limits = limits or DecodeLimits()
    if isinstance(image, np.ndarray):
        height, width = image.shape[:2]
        check_pixels(width, height, limits)
        needed = cost.fit_bytes((width, height), target or (1, 1))
        return DecodePlan(image, target, limits, _check_bytes(needed, limits))
    header, heif = read_structure(image)
    size = header.width, header.height
    check_pixels(*size, limits)
    structure = jpeg.read_jpeg(image) if header.format is Format.JPEG else None
    if structure is None:
        needed = cost.decode_bytes(image, header)
    else:
        scaled = None if whole else target
        needed = cost.jpeg_bytes(len(image), structure, size, scaled)
        size = size if scaled is None else cost.scaled_size(size, scaled)
    if target is not None:
        needed = max(needed, *(cost.fit_bytes(each, target) for each in (size, size[::-1])))
    target = None if whole else target
    return DecodePlan(image, target, limits, _check_bytes(needed, limits), header, structure, heif)


@_without_frames
def decode(
    image: Picture,
    target: Size | None = None,
    limits: DecodeLimits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Image.Image:
    """Plan and decode: see ``plan_decode`` and ``DecodePlan.decode`` for arguments and errors."""
    return plan_decode(image, target, limits).decode(check)


def _decode(plan: DecodePlan, header: Header, clock: "_Clock") -> Image.Image:
    data = cast("bytes | memoryview", plan.image)
    if plan.heif is not None:
        return _decode_heif(plan, plan.heif, header, clock)
    if plan.jpeg is not None:
        stripped = plan.jpeg.stripped
        image = _decode_jpeg(plan, plan.jpeg, header, clock)
    elif header.format is Format.PNG:
        stripped = png.strip(data)
        image = _decode_png(header, stripped, data, clock)
    else:
        stripped = webp.strip(data)
        image = _decode_webp(header, stripped, plan.limits, clock)
    return upright_rgb(image, stripped.orientation, clock)


def _open(header: Header, parts: Parts, clock: "_Clock") -> ImageFile.ImageFile:
    reader = cast("IO[bytes]", PartsReader(parts, clock))
    image = _OPEN[header.format](reader)
    # The size in the header was checked against the limits: the decoder must see the same one.
    if image.size != (header.width, header.height):
        raise UnreadableImage(f"the {header.format} has two headers with different sizes")
    return image


def _decode_png(
    header: Header, stripped: Stripped, data: bytes | memoryview, clock: "_Clock"
) -> ImageFile.ImageFile:
    image = _open(header, stripped.parts, clock)
    image.decodermaxblock = PNG_BLOCK
    image.load()
    _scale_transparent_colour(image, png.read_layout(data).depth)
    return image


def _decode_heif(plan: DecodePlan, heif: HeifImage, header: Header, clock: "_Clock") -> Image.Image:
    """The clock cannot stop its decoder either."""
    seconds = cost.heif_seconds(heif.coded_pixels, heif.coded_bytes, deep=heif.is_deep)
    _check_seconds(seconds, header, plan.limits)
    image = decode_heif(cast("bytes | memoryview", plan.image), heif, clock)
    return upright_rgb(image, UPRIGHT, clock)


def _check_seconds(seconds: float, header: Header, limits: DecodeLimits) -> None:
    """Raise ImageTooSlow if a call that cannot be stopped may take too many ``seconds``."""
    if seconds > limits.seconds:
        raise ImageTooSlow(
            f"decoding this {header.format} may take {seconds:.1f} seconds of processor time: "
            f"at most {limits.seconds:g} are allowed, send a smaller image"
        )


def _decode_webp(
    header: Header, stripped: Stripped, limits: DecodeLimits, clock: "_Clock"
) -> ImageFile.ImageFile:
    """The clock cannot stop the call that decodes it: so a call that may be slow is not begun."""
    _check_seconds(cost.webp_seconds(header.pixels, sum(map(len, stripped.parts))), header, limits)
    image = _open(header, stripped.parts, clock)
    image.load()
    clock()
    image.__dict__.pop("_decoder", None)  # which holds two more images of this size
    return image


def _decode_jpeg(plan: DecodePlan, structure: Jpeg, header: Header, clock: "_Clock") -> Image.Image:
    parts, orientation = structure.stripped
    scans = 1 if structure.in_one_scan else jpeg.count_scans(parts[-1])
    if scans > min(MOST_SCANS, plan.limits.scanned_pixels / header.pixels):
        raise UnreadableImage(f"the JPEG has too many scans, {scans}: save it again")
    size = header.width, header.height
    seconds = cost.jpeg_seconds(header.pixels, len(parts[-1]), scans)
    at_once = seconds <= min(AT_ONCE_SECONDS, plan.limits.seconds)

    def decoded(parts: Parts, scale: int) -> Image.Image:
        return decode_jpeg(parts, structure.components, size, scale, clock, at_once=at_once)

    scale = 1
    if plan.target is not None:
        scale = jpeg.scale(size, plan.target[::-1] if orientation >= 5 else plan.target)
    if structure.may_lack_end:
        parts = _with_end(parts, lambda parts: _checksum(decoded(parts, 1), clock))
    return decoded(parts, scale)


def _with_end(parts: Parts, checksum: Callable[[Parts], int]) -> Parts:
    """The JPEG with an end marker; raises UnreadableImage if pixels are missing.

    The decoder fills in missing pixels without an error. But it takes the bytes that follow a
    truncated scan for pixels, and ignores those that follow a complete one: so the image must not
    depend on what follows.
    """
    scans = jpeg.strip_padding(bytes(parts[-1]))
    parts = [*parts[:-1], scans]
    if not jpeg.has_all_scans(b"".join(parts)):
        raise UnreadableImage("the JPEG is truncated: it has no end marker, and scans are missing")
    first, *others = jpeg.continuations(scans)
    whole = checksum([*parts, first, jpeg.END])
    if any(checksum([*parts, other, jpeg.END]) != whole for other in others):
        raise UnreadableImage("the JPEG is truncated: it has no end marker, and pixels are missing")
    return [*parts, jpeg.END]


def _checksum(image: Image.Image, clock: "_Clock") -> int:
    total = 0
    for band in bands(*image.size):
        clock()
        total = zlib.crc32(image.crop(band).tobytes(), total)
    return total


def _scale_transparent_colour(image: Image.Image, depth: int) -> None:
    """Scale the transparent colour, which a PNG gives in its own depth, to 8 bits."""
    colour = image.info.get("transparency")
    if isinstance(colour, int) and image.mode == "L" and depth < 8:
        image.info["transparency"] = colour * 255 // ((1 << depth) - 1)
    elif isinstance(colour, tuple) and depth == 16:
        image.info["transparency"] = tuple(sample >> 8 for sample in colour)


class _Clock:
    """Raises ImageTooSlow, when called, once this thread has used too much processor time."""

    def __init__(self, seconds: float, check: Callable[[], None]) -> None:
        self._deadline = time.thread_time() + seconds
        self._seconds = seconds
        self._check = check

    def __call__(self) -> None:
        self._check()
        if time.thread_time() > self._deadline:
            raise ImageTooSlow(
                f"decoding took over {self._seconds:g} seconds of processor time: "
                "send a smaller image"
            )
