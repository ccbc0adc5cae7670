import io
import struct

import pytest
from conformance.jpegs import APP1, segment, with_segments
from PIL import Image

from greengrocer.errors import (
    EmptyImage,
    ImageRefused,
    UnreadableImage,
    UnsupportedFormat,
)
from greengrocer.imaging.formats import (
    Format,
    accepted,
    read_header,
)
from greengrocer.imaging.jpeg import MAX_FILL, MAX_SEGMENTS
from support.make_images import encoded, photo
from support.png import GREY, SIGNATURE, header

PLAIN = (Format.JPEG, Format.PNG, Format.WEBP)  # those that no extra brings
SIZES = [(1, 1), (7, 3), (255, 257), (640, 11), (33, 512), (3, 5000), (5000, 3)]
EXIF = b"Exif\0\0MM\0*" + bytes(60_000)
VARIANTS: dict[str, tuple[str, str, dict[str, object]]] = {
    "baseline JPEG": ("JPEG", "RGB", {}),
    "grey JPEG": ("JPEG", "L", {}),
    "CMYK JPEG": ("JPEG", "CMYK", {}),
    "progressive JPEG": ("JPEG", "RGB", {"progressive": True}),
    "JPEG with large EXIF and ICC": ("JPEG", "RGB", {"exif": EXIF, "icc_profile": bytes(400_000)}),
    "JPEG with restarts": ("JPEG", "RGB", {"restart_marker_blocks": 1}),
    "PNG": ("PNG", "RGB", {}),
    "palette PNG": ("PNG", "P", {}),
    "16-bit PNG": ("PNG", "I;16", {}),
    "lossy WebP": ("WEBP", "RGB", {}),
    "lossless WebP": ("WEBP", "RGB", {"lossless": True}),
    "WebP with alpha": ("WEBP", "RGBA", {}),
    "lossless WebP with alpha": ("WEBP", "RGBA", {"lossless": True}),
    "WebP with metadata": ("WEBP", "RGB", {"exif": EXIF, "icc_profile": bytes(5000)}),
    "animated WebP": ("WEBP", "RGB", {"save_all": True}),
    "animated PNG": ("PNG", "RGB", {"save_all": True}),
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_header_agrees_with_the_decoder(variant: str, size: tuple[int, int]) -> None:
    kind, mode, options = VARIANTS[variant]
    picture = Image.new(mode, size) if mode == "I;16" else photo(1, size).convert(mode)
    if "save_all" in options:
        options = {**options, "append_images": [photo(2, size)]}
    data = encoded(picture, kind, **options)
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == size
    assert read_header(data) == (kind, *size)


def test_a_header_needs_no_pixels() -> None:
    for kind in PLAIN:
        data = encoded(photo(1), kind)
        assert read_header(data[: 1000 if kind is Format.JPEG else 30]) == (kind, 320, 240)


FOREIGN = {
    "GIF": encoded(photo(1), "GIF"),
    "BMP": encoded(photo(1), "BMP"),
    "TIFF": encoded(photo(1), "TIFF"),
    "ICO": encoded(photo(1), "ICO"),
    "PDF": b"%PDF-1.7\n",
    "Photoshop": b"8BPS\0\1",
    "JPEG XL": b"\xff\x0a\0\0",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "MP4": b"\0\0\0\x18ftypisom\0\0\0\0",
    "Matroska": b"\x1aE\xdf\xa3\1\0\0",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "XML or SVG": b"<?xml version='1.0'?><svg/>",
    "HTML": b"<!DOCTYPE html><title>an image</title>",
    "ZIP": b"PK\3\4\x14\0",
    "gzip": b"\x1f\x8b\x08\0",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_formats_are_named_in_the_refusal(name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=f"{name}.*: send {accepted()}$"):
        read_header(FOREIGN[name])


def test_zero_bytes_are_an_empty_image() -> None:
    with pytest.raises(EmptyImage, match="0 bytes"):
        read_header(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"a text that was renamed to photo.jpg",
        bytes(1000),
        b"\xff",
        b"\xff\xd8",
        b"RIFF\0\0\0\0WAVE",
    ],
)
def test_bytes_without_a_known_signature_are_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match="not an image in a supported format"):
        read_header(data)


@pytest.mark.parametrize("kind", PLAIN)
def test_a_file_that_ends_within_its_header_is_unreadable(kind: Format) -> None:
    data = encoded(photo(1), kind)
    for length in range(1, 24):
        with pytest.raises(UnreadableImage):
            read_header(data[:length])


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
def test_a_side_of_no_pixels_is_unreadable(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableImage, match=f"{size[0]} x {size[1]}"):
        read_header(SIGNATURE + header(size, 8, GREY))
    frame = b"\xff\xd8\xff\xc0\0\x0b\x08" + struct.pack(">HH", size[1], size[0]) + b"\1\1\x11\0"
    with pytest.raises(UnreadableImage, match=f"{size[0]} x {size[1]}"):
        read_header(frame)


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE + b"\0\0\0\rIDAT" + bytes(20),
        b"RIFF\0\0\0\0WEBPICCP" + bytes(20),
        b"\xff\xd8\xff\xda\0\x08" + bytes(20),
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe0\0\x02" + bytes(100),
    ],
    ids=["PNG without IHDR", "WebP without image", "JPEG scan first", "JPEG end", "JPEG of zeros"],
)
def test_a_file_without_a_size_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        read_header(data)


def test_a_jpeg_has_a_bounded_number_of_segments() -> None:
    data = encoded(photo(1), "JPEG")
    for _ in range(MAX_SEGMENTS // 2):
        data = with_segments(data, segment(APP1, b"x"))
    assert read_header(data) == (Format.JPEG, 320, 240)
    for _ in range(MAX_SEGMENTS // 2):
        data = with_segments(data, segment(APP1, b"x"))
    with pytest.raises(ImageRefused):
        read_header(data)


def test_a_jpeg_may_have_stray_and_fill_bytes_between_segments() -> None:
    data = encoded(photo(1), "JPEG")
    assert read_header(data[:2] + b"\xff\xff\xff" + data[2:]) == (Format.JPEG, 320, 240)
    segment = b"\xff\xe1\0\3x"
    assert read_header(data[:2] + segment + b"stray" + data[2:]) == (Format.JPEG, 320, 240)


def test_a_jpeg_has_a_bounded_number_of_fill_bytes() -> None:
    data = encoded(photo(1), "JPEG")
    fill = b"\xff" * (MAX_FILL - 1)
    assert read_header(data[:2] + fill + data[2:]) == (Format.JPEG, 320, 240)
    with pytest.raises(UnreadableImage):
        read_header(data[:2] + fill + b"\xff" + data[2:])


def test_a_stuffed_byte_between_segments_is_skipped_as_in_the_decoder() -> None:
    data = encoded(photo(1), "JPEG")
    at = data.index(b"\xff\xc0")
    hiding = data[:at] + b"\xff\0\0\x04\xff" + data[at:]  # were it a segment, the frame is in it
    with Image.open(io.BytesIO(hiding)) as opened:
        assert read_header(hiding) == (Format.JPEG, *opened.size) == (Format.JPEG, 320, 240)


@pytest.mark.parametrize("kind", [0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF])
def test_an_arithmetic_coded_jpeg_is_unreadable(kind: int) -> None:
    data = encoded(photo(1), "JPEG")
    assert read_header(data.replace(b"\xff\xc0", b"\xff\xc1", 1)) == (Format.JPEG, 320, 240)
    with pytest.raises(UnreadableImage, match="arithmetic"):
        read_header(data.replace(b"\xff\xc0", bytes([0xFF, kind]), 1))
