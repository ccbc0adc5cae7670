"""What an image's first bytes say: its format and its size, before anything is decoded."""

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from greengrocer.errors import EmptyImage, TooManyPixels, UnreadableImage, UnsupportedFormat
from greengrocer.imaging import heif

MAX_WEBP_SIDE = 16383  # pixels, by the format; the canvas of an animation may claim more
# A real JPEG has a dozen segments before its frame header, a large ICC or EXIF some hundreds.
MAX_JPEG_SEGMENTS = 1000
MAX_JPEG_FILL = 1 << 16  # bytes of 0xFF before a marker, whose own is the last; some align with it

LENGTH = 2  # bytes of a segment's length, which counts itself
JPEG_SCAN, JPEG_END = 0xDA, 0xD9  # the second bytes of these markers

_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN_CODED = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive
_STANDALONE = frozenset(range(0xD0, 0xD9)) | {0x00, 0x01}  # 0x00: the 0xFF before it is stray
_MARKER = re.compile(rb"\xff{1,%d}+([^\xff])" % MAX_JPEG_FILL, re.DOTALL)

# offset, magic, name: formats that we do not read but can name
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

_PLAIN_TYPES = ("image/jpeg", "image/png", "image/webp")
_PLAIN_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_STILL_TYPES = ("image/heic", "image/heif", "image/avif")
_STILL_SUFFIXES = frozenset({".heic", ".heif", ".hif", ".avif"})


class Format(StrEnum):
    """The formats that are read: the last two where the extra ``heif`` is installed."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    HEIC = "HEIC"
    AVIF = "AVIF"

    def __format__(self, spec: str) -> str:
        """As people write it."""
        return format("WebP" if self is Format.WEBP else self.value, spec)


STILLS = (Format.HEIC, Format.AVIF)  # that the extra brings


class Header(NamedTuple):
    """What is known before decoding. Width and height are in pixels, as stored."""

    format: Format
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(data: bytes) -> Header:
    """The format and size of the image in ``data``; nothing is decoded.

    What it looks at is bounded, so the event loop may call it: microseconds for a PNG or WebP and
    for any image of a camera, about 10 ms at most for any bytes of up to 20 MB, and little
    memory.

    Raises EmptyImage, UnsupportedFormat (recognisably something else), UnreadableImage or
    TooManyPixels (a side that the format does not allow).
    """
    if not data:
        raise EmptyImage("the image is empty: 0 bytes")
    kind = _sniff(data)
    try:
        if kind is None:
            still = heif.look(data, accepted())
            kind, width, height = Format(still.name), still.width, still.height
        else:
            width, height = _SIZE_READERS[kind](data)
    except IndexError as error:
        raise UnreadableImage(f"the {kind} is truncated within its header") from error
    if kind is Format.WEBP and max(width, height) > MAX_WEBP_SIDE:
        raise TooManyPixels(
            f"the WebP is {width} x {height} pixels: a side has at most {MAX_WEBP_SIDE}"
        )
    if width == 0 or height == 0:
        raise UnreadableImage(
            f"the {kind} gives its size as {width} x {height} pixels: a side has at least 1"
        )
    return Header(kind, width, height)


def accepted() -> str:
    """The formats that are read here, to be told to a person."""
    return "JPEG, PNG, WebP, HEIC or AVIF" if heif.is_installed() else "JPEG, PNG or WebP"


def media_types() -> tuple[str, ...]:
    """The media types of what is read here; HEIC has two names."""
    return (*_PLAIN_TYPES, *(_STILL_TYPES if heif.is_installed() else ()))


def suffixes() -> frozenset[str]:
    """What the names of files end with that are read here, in lower case."""
    return _PLAIN_SUFFIXES | (_STILL_SUFFIXES if heif.is_installed() else frozenset())


def suffixes_of_extra() -> frozenset[str]:
    """Those of files that would be read with the extra ``heif``, which is not installed."""
    return _STILL_SUFFIXES - suffixes()


def _sniff(data: bytes) -> Format | None:
    """The format by its first bytes; None: a file of boxes, of which there are many kinds."""
    if data[4:8] == b"ftyp":
        return None
    if data.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    for offset, magic, name in _FOREIGN:
        if data.startswith(magic, offset):
            raise UnsupportedFormat(
                f"the file is {name}, which is not supported: send {accepted()}"
            )
    raise UnreadableImage(f"the file is not an image in a supported format: send {accepted()}")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    for segment in jpeg_segments(data):
        if segment.marker in _FRAME_HEADERS:
            if segment.marker not in _HUFFMAN_CODED:
                raise UnreadableImage(
                    "the JPEG has lossless, hierarchical or arithmetic coding, which is not "
                    "supported: send a baseline or progressive JPEG"
                )
            start = segment.start
            return _big_endian(data, start + 5, 2), _big_endian(data, start + 3, 2)
        if segment.marker in (JPEG_END, JPEG_SCAN):
            break
    raise UnreadableImage("the JPEG has no frame header")


class Segment(NamedTuple):
    """A segment of a JPEG. Both places are offsets in the file."""

    marker: int  # the second byte of its marker
    start: int  # of its length
    end: int  # behind its content; the start, where a marker has none


def jpeg_segments(data: bytes, position: int = 2) -> Iterator[Segment]:
    """The segments from ``position`` on, at most MAX_JPEG_SEGMENTS; scans' data are passed over.

    Raises IndexError where the file ends within a length, and UnreadableImage for a length that
    cannot be.
    """
    for _ in range(MAX_JPEG_SEGMENTS):
        # libjpeg skips stray bytes between segments too
        start = data.find(b"\xff", position)
        found = _MARKER.match(data, start) if start >= 0 else None
        if found is None:
            return
        marker, position = found[1][0], found.end()
        if marker in _STANDALONE:
            continue
        end = position
        if marker != JPEG_END:
            length = _big_endian(data, position, 2)
            if length < LENGTH:  # a decoder would go on elsewhere than we do
                raise UnreadableImage("the JPEG has a segment with an invalid length")
            end += length
        yield Segment(marker, position, end)
        position = end


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise UnreadableImage("the PNG does not begin with an IHDR chunk")
    return _big_endian(data, 16, 4), _big_endian(data, 20, 4)


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8 ":
        return _little_endian(data, 26, 2) & 0x3FFF, _little_endian(data, 28, 2) & 0x3FFF
    if chunk == b"VP8L":
        bits = _little_endian(data, 21, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8X":
        return _little_endian(data, 24, 3) + 1, _little_endian(data, 27, 3) + 1
    raise UnreadableImage("the WebP does not begin with a VP8, VP8L or VP8X chunk")


_SIZE_READERS = {Format.JPEG: _jpeg_size, Format.PNG: _png_size, Format.WEBP: _webp_size}


def _big_endian(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(_exactly(data, offset, length), "big")


def _little_endian(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(_exactly(data, offset, length), "little")


def _exactly(data: bytes, offset: int, length: int) -> bytes:
    if offset + length > len(data):
        raise IndexError(offset)
    return data[offset : offset + length]
