"""From an image's bytes to upright RGB, under limits.

EXIF orientation is applied, alpha is laid over white, 16 bit is scaled to 8, palettes, grey and
CMYK are converted, and of an animation the first frame counts. ICC profiles are ignored. The
decoder sees only the parts of a file that are needed: see ``png``, ``jpeg`` and ``webp``.
"""

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, cast

from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from greengrocer.errors import (
    ImageTooSlow,
    Refusal,
    TooManyPixels,
    UnreadableImage,
)
from greengrocer.imaging import cost, jpeg, png, webp
from greengrocer.imaging.colour import parts, upright_rgb
from greengrocer.imaging.exif import UPRIGHT
from greengrocer.imaging.formats import STILLS, Format, Header, read_header
from greengrocer.imaging.geometry import Pixels
from greengrocer.imaging.heif import decode_still
from greengrocer.imaging.pieces import Pieces
from greengrocer.imaging.shown import Shown
from greengrocer.imaging.stills import read_still

Picture = bytes | Pixels  # a file's bytes, or upright RGB as it is: uint8 [height, width, 3]

PNG_BLOCK = 1 << 14  # bytes of a PNG that are unpacked between two looks at the clock

# Image.open would hold images against Pillow's own limit, and warn; DecodeLimits takes its place.
_OPEN: dict[Format, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
    Format.JPEG: JpegImagePlugin.JpegImageFile,
    Format.PNG: PngImagePlugin.PngImageFile,
    Format.WEBP: WebPImagePlugin.WebPImageFile,
}
_SHOWN = {Format.PNG: png.shown, Format.JPEG: jpeg.shown, Format.WEBP: webp.shown}


@dataclass(frozen=True)
class DecodeLimits:
    """What an image may cost."""

    pixels: int = 120_000_000
    seconds: float = 4.0
    bytes: int = 2_000_000_000  # that decoding and fitting hold at their peak

    @property
    def scanned_pixels(self) -> int:
        """Bound on pixels times scans: each scan of a progressive JPEG visits every pixel.

        Scans with nothing in them are read before the clock is looked at. By default they take at
        most 1.2 seconds (measured, 1.5 billion pixels a second), which come on top of the budget.
        """
        return 14 * self.pixels


def count_pixels(picture: Picture, limits: DecodeLimits) -> int:
    """How many pixels it has, by its header; raises an ImageRefused, TooManyPixels above all."""
    if isinstance(picture, bytes):
        header = read_header(picture)
        return _within(header.width, header.height, limits)
    height, width = picture.shape[:2]
    return _within(width, height, limits)


def allowed_bytes(picture: Picture, target: tuple[int, int] | None, limits: DecodeLimits) -> int:
    """The same; raises TooManyPixels where ``limits`` do not allow as many."""
    needed = decoding_bytes(picture, target)
    if needed > limits.bytes:
        raise TooManyPixels(
            f"decoding the image would take {needed / 1e6:,.0f} MB of memory: "
            f"at most {limits.bytes / 1e6:,.0f} are allowed, send a smaller image"
        )
    return needed


def _within(width: int, height: int, limits: DecodeLimits) -> int:
    pixels = width * height
    if pixels > limits.pixels:
        raise TooManyPixels(
            f"the image is {width} x {height} pixels, "
            f"{pixels / 1e6:.1f} megapixels: at most {limits.pixels / 1e6:g} are accepted, "
            "send a smaller image"
        )
    return pixels


def decoding_bytes(picture: Picture, target: tuple[int, int] | None = None) -> int:
    """Bytes that ``decode`` and ``fit`` hold at their peak, by the image's header alone.

    ``target`` (width, height, pixels) is what both are given. An upper bound, without the bytes
    of the image itself. Raises an ImageRefused.
    """
    if not isinstance(picture, bytes):
        height, width = picture.shape[:2]
        return cost.fit_bytes((width, height), target or (1, 1))
    header = read_header(picture)
    needed = cost.decode_bytes(picture, header, target)
    if target is None:
        return needed
    width, height = header.width, header.height
    if header.format is Format.JPEG:
        width, height = cost.scaled_size((width, height), target)
    return max(
        needed, *(cost.fit_bytes(each, target) for each in ((width, height), (height, width)))
    )


def decode(
    data: Picture,
    target: tuple[int, int] | None = None,
    limits: DecodeLimits | None = None,
    check: Callable[[], None] = lambda: None,
) -> Image.Image:
    """Decode ``data`` to an upright image of mode RGB; pixels are wrapped as they are.

    ``target`` (width, height, pixels) lets a JPEG be decoded at a smaller scale, never below the
    target. ``check`` is called about every 64 KiB read and may raise a Refusal to stop.

    Raises an ImageRefused, whatever ``check`` raises, or MemoryError. What is raised holds none
    of the decoder's frames: they would keep pixels and file in memory as long as somebody has it.
    """
    limits = limits or DecodeLimits()
    try:
        return _decode(data, target, limits, check)
    except (Refusal, MemoryError) as error:
        refusal: Exception = error.with_traceback(None)
        refusal.__cause__ = refusal.__context__ = None
    try:
        raise refusal
    finally:
        del data, refusal


def _decode(
    data: Picture,
    target: tuple[int, int] | None,
    limits: DecodeLimits,
    check: Callable[[], None],
) -> Image.Image:
    count_pixels(data, limits)
    allowed_bytes(data, target, limits)
    if not isinstance(data, bytes):
        return Image.fromarray(data)
    header = read_header(data)
    clock = _Clock(limits.seconds, check)
    try:
        if header.format in STILLS:
            return _decode_still(data, header, limits, clock)
        shown = _SHOWN[header.format](data)
        if header.format is Format.JPEG:
            picture = _decode_jpeg(header, shown, target, limits, clock)
        elif header.format is Format.PNG:
            picture = _decode_png(header, shown, data, clock)
        else:
            picture = _decode_webp(header, shown, limits, clock)
        return upright_rgb(picture, shown.orientation, clock)
    except (Refusal, MemoryError):
        raise
    # The decoder's plugins raise a dozen types, from SyntaxError to struct.error, for bad bytes.
    except Exception as error:
        raise UnreadableImage(f"the {header.format} is truncated or damaged") from error


def _open(header: Header, pieces: list[bytes | memoryview], clock: "_Clock") -> ImageFile.ImageFile:
    reader = cast("IO[bytes]", Pieces(pieces, clock))
    picture = _OPEN[header.format](reader)
    # What the header said was counted and admitted: a second one may not say otherwise.
    if picture.size != (header.width, header.height):
        raise UnreadableImage(f"the {header.format} has two headers with different sizes")
    return picture


def _decode_png(header: Header, shown: Shown, data: bytes, clock: "_Clock") -> ImageFile.ImageFile:
    picture = _open(header, shown.pieces, clock)
    picture.decodermaxblock = PNG_BLOCK
    picture.load()
    _scale_transparent_colour(picture, png.layout(data).depth)
    return picture


def _decode_still(
    data: bytes, header: Header, limits: DecodeLimits, clock: "_Clock"
) -> Image.Image:
    """The clock cannot stop its decoder either."""
    still = read_still(data)
    _may_take(
        cost.still_seconds(still.coded_pixels, still.coded_bytes, deep=still.is_deep),
        header,
        limits,
    )
    return upright_rgb(decode_still(data, still, clock), UPRIGHT, clock)


def _may_take(seconds: float, header: Header, limits: DecodeLimits) -> None:
    """``seconds`` are what one call may take that nobody can stop; raises ImageTooSlow."""
    if seconds > limits.seconds:
        raise ImageTooSlow(
            f"decoding this {header.format} may take {seconds:.1f} seconds of processor time: "
            f"at most {limits.seconds:g} are allowed, send a smaller image"
        )


def _decode_webp(
    header: Header, shown: Shown, limits: DecodeLimits, clock: "_Clock"
) -> ImageFile.ImageFile:
    """The clock cannot stop the one call that decodes all of it, so it is not let begin."""
    _may_take(cost.webp_seconds(header.pixels, sum(map(len, shown.pieces))), header, limits)
    picture = _open(header, shown.pieces, clock)
    picture.load()
    clock()
    picture.__dict__.pop("_decoder", None)  # it holds two more images of this size
    return picture


def _decode_jpeg(
    header: Header,
    shown: Shown,
    target: tuple[int, int] | None,
    limits: DecodeLimits,
    clock: "_Clock",
) -> ImageFile.ImageFile:
    pieces = shown.pieces
    scans = jpeg.count_scans(pieces[-1])
    if scans * header.pixels > limits.scanned_pixels:
        raise UnreadableImage(f"the JPEG has {scans} scans: too many for its size")
    if jpeg.may_lack_end(pieces[-1]):
        pieces = _ended(header, pieces, clock)
    picture = _open(header, pieces, clock)
    if target is not None:
        picture.draft(None, target[::-1] if shown.orientation >= 5 else target)
    picture.load()
    return picture


def _ended(
    header: Header, pieces: list[bytes | memoryview], clock: "_Clock"
) -> list[bytes | memoryview]:
    """The JPEG with an end marker, if its pixels are all there.

    The decoder makes up what is missing, and does not tell. But where pixels are missing it takes
    whatever follows for them; where all are there, what follows changes none.
    """
    scans = jpeg.without_filling(bytes(pieces[-1]))
    pieces = [*pieces[:-1], scans]
    if not jpeg.has_all_scans(b"".join(pieces)):
        raise UnreadableImage("the JPEG is truncated: it has no end marker, and scans are missing")
    first, *others = jpeg.pads(scans)
    whole = _checksum(header, [*pieces, first, jpeg.END], clock)
    if any(_checksum(header, [*pieces, pad, jpeg.END], clock) != whole for pad in others):
        raise UnreadableImage("the JPEG is truncated: it has no end marker, and pixels are missing")
    return [*pieces, jpeg.END]


def _checksum(header: Header, pieces: list[bytes | memoryview], clock: "_Clock") -> int:
    picture = _open(header, pieces, clock)
    picture.load()
    total = 0
    for part in parts(*picture.size):
        clock()
        total = zlib.crc32(picture.crop(part).tobytes(), total)
    return total


def _scale_transparent_colour(picture: Image.Image, depth: int) -> None:
    """The one colour that a PNG calls transparent is given in its own depth; the pixels have 8."""
    colour = picture.info.get("transparency")
    if isinstance(colour, int) and picture.mode == "L" and depth < 8:
        picture.info["transparency"] = colour * 255 // ((1 << depth) - 1)
    elif isinstance(colour, tuple) and depth == 16:
        picture.info["transparency"] = tuple(sample >> 8 for sample in colour)


class _Clock:
    """Called now and then, it stops what takes too long of this thread's processor time."""

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
