"""The format and size of an image, from its first bytes, before anything is decoded."""

import struct
from enum import StrEnum
from typing import NamedTuple

from greengrocer.errors import (
    EmptyImage,
    ImageRefused,
    TooManyPixels,
    UnreadableImage,
    UnsupportedFormat,
)
from greengrocer.imaging import heif, jpeg, png, webp
from greengrocer.imaging.heif import HeifImage

FIRST = 16  # bytes that tell the format
MAX_WEBP_SIDE = 16383  # pixels, by the format; the canvas of an animation may claim more

# offset, magic number, name: formats that are recognised but not supported
_FOREIGN = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"%PDF", "PDF"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML or SVG"),
    (0, b"<!DOCTYPE", "HTML"),
    (0, b"<html", "HTML"),
    (0, b"PK\3\4", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
)

_BASE_TYPES = ("image/jpeg", "image/png", "image/webp")
_BASE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_HEIF_TYPES = ("image/heic", "image/heif", "image/avif")
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"avif")
_HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif"})


class Format(StrEnum):
    """The supported formats. The last two need the extra ``heif``."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    HEIC = "HEIC"
    AVIF = "AVIF"

    def __format__(self, spec: str) -> str:
        """The usual spelling of the name."""
        return format("WebP" if self is Format.WEBP else self.value, spec)


class Header(NamedTuple):
    """Format and size of an image. Width and height are in pixels, as stored."""

    format: Format
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(data: bytes | memoryview) -> Header:
    """The format and size of the image in ``data``; nothing is decoded.

    The work is bounded, so the event loop may call it: microseconds for a PNG or WebP and for any
    image of a camera, about 10 ms at most for any bytes of up to 20 MB, and little memory.

    Raises EmptyImage, UnsupportedFormat (a known format that is not supported), UnreadableImage or
    TooManyPixels (a side that the format does not allow).
    """
    return read_structure(data)[0]


def read_structure(data: bytes | memoryview) -> tuple[Header, HeifImage | None]:
    """The header of ``read_header`` and, of a HEIC or AVIF, the structure that it was read from."""
    if not data:
        raise EmptyImage("the image is empty: 0 bytes")
    kind = _sniff(bytes(data[:FIRST]))
    image = None
    if kind is None:
        image = heif.read_heif(data, accepted())
        kind, width, height = Format(image.name), image.width, image.height
    else:
        try:
            width, height = _READ_SIZE[kind](data)
        except struct.error as error:
            raise UnreadableImage(f"the {kind} is truncated within its header") from error
    if kind is Format.WEBP and max(width, height) > MAX_WEBP_SIDE:
        raise TooManyPixels(
            f"the WebP is {width} x {height} pixels: a side has at most {MAX_WEBP_SIDE}"
        )
    if width == 0 or height == 0:
        raise UnreadableImage(
            f"the {kind} gives its size as {width} x {height} pixels: a side has at least 1"
        )
    return Header(kind, width, height), image


def accepted() -> str:
    """The formats that are supported here, as words for a message."""
    return "JPEG, PNG, WebP, HEIC or AVIF" if heif.is_installed() else "JPEG, PNG or WebP"


def media_types() -> tuple[str, ...]:
    """The media types of the formats that are supported here; HEIC has two."""
    return (*_BASE_TYPES, *(_HEIF_TYPES if heif.is_installed() else ()))


def suffixes() -> frozenset[str]:
    """The file name suffixes of the formats that are supported here, in lower case."""
    return _BASE_SUFFIXES | (_HEIF_SUFFIXES if heif.is_installed() else frozenset())


def is_supported(first: bytes) -> bool:
    """Whether a file that begins with ``first`` (FIRST bytes or more) is in a supported format.

    The rest of the file may still be damaged.
    """
    try:
        kind = _sniff(first)
    except ImageRefused:
        return False
    return kind is not None or (heif.is_installed() and first[8:12] in _HEIF_BRANDS)


def foreign_format(first: bytes) -> str | None:
    """The name of the format that ``first`` tells, where it is known and not supported here."""
    if first[4:8] == b"ftyp" and first[8:12] in _HEIF_BRANDS and not heif.is_installed():
        return "AVIF" if first[8:12] == b"avif" else "HEIC"
    names = (name for offset, magic, name in _FOREIGN if first.startswith(magic, offset))
    return next(names, None)


def _sniff(first: bytes) -> Format | None:
    """The format, from the first bytes; None for an ISO base media file (HEIC, AVIF, MP4)."""
    if first[4:8] == b"ftyp":
        return None
    if first.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if first.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if first[:4] == b"RIFF" and first[8:12] == b"WEBP":
        return Format.WEBP
    for offset, magic, name in _FOREIGN:
        if first.startswith(magic, offset):
            raise UnsupportedFormat(
                f"the file is {name}, which is not supported: send {accepted()}"
            )
    raise UnreadableImage(f"the file is not an image in a supported format: send {accepted()}")


_READ_SIZE = {Format.JPEG: jpeg.read_size, Format.PNG: png.read_size, Format.WEBP: webp.read_size}
