"""The conversion of every colour mode to RGB."""

import struct

import pytest
from conformance.jpegs import APP2, segment, with_segments
from PIL import Image, ImageCms

from greengrocer.imaging.decode import decode
from support.make_images import encoded, photo
from support.png import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, png

WHITE = (255, 255, 255)
Colour = tuple[int, int, int]


def words(*values: int) -> bytes:
    """16-bit samples."""
    return struct.pack(f">{len(values)}H", *values)


def row(data: bytes) -> list[Colour]:
    """The first row of the decoded image."""
    decoded = decode(data)
    assert decoded.mode == "RGB"
    return [decoded.getpixel((x, 0)) for x in range(decoded.width)]  # type: ignore[misc]


def grey(*levels: int) -> list[Colour]:
    return [(level, level, level) for level in levels]


def test_alpha_is_blended_over_white() -> None:
    picture = Image.new("RGBA", (3, 1))
    picture.putdata([(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 51)])
    for data in (encoded(picture, "PNG"), encoded(picture, "WEBP", lossless=True, exact=True)):
        assert row(data) == [(255, 0, 0), WHITE, (204, 204, 204)]


def test_grey_with_alpha_is_blended_over_white() -> None:
    assert row(png((3, 1), 8, GREY_ALPHA, [bytes([9, 255, 9, 0, 0, 51])])) == grey(9, 255, 204)


def test_a_palette_with_transparency_is_blended_over_white() -> None:
    colours = chunk(b"PLTE", bytes([255, 0, 0, 0, 255, 0, 0, 0, 255]))
    alpha = chunk(b"tRNS", bytes([255, 0, 51]))
    indices = [bytes([0, 1, 2])]
    assert row(png((3, 1), 8, PALETTE, indices, colours)) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert row(png((3, 1), 8, PALETTE, indices, colours, alpha)) == [
        (255, 0, 0),
        WHITE,
        (204, 204, 255),
    ]


@pytest.mark.parametrize(
    ("depth", "packed", "transparent", "expected"),
    [
        (1, bytes([0b01000000]), 0, grey(255, 255)),
        (1, bytes([0b01000000]), 1, grey(0, 255)),
        (2, bytes([0b01100000]), 1, grey(255, 170)),
        (4, bytes([0x5A]), 5, grey(255, 170)),
        (8, bytes([100, 7]), 100, grey(255, 7)),
        (16, words(0x8000, 0x8001), 0x8000, grey(255, 128)),
    ],
)
def test_the_transparent_grey_becomes_white_at_every_depth(
    depth: int, packed: bytes, transparent: int, expected: list[Colour]
) -> None:
    key = chunk(b"tRNS", words(transparent))
    assert row(png((2, 1), depth, GREY, [packed], key)) == expected


def test_the_transparent_colour_becomes_white() -> None:
    key = chunk(b"tRNS", words(1, 2, 3))
    assert row(png((2, 1), 8, RGB, [bytes([1, 2, 3, 9, 8, 7])], key)) == [WHITE, (9, 8, 7)]


def test_the_transparent_colour_of_16_bits_becomes_white() -> None:
    key = chunk(b"tRNS", words(0x8000, 0xFFFF, 0))
    pixels = [words(0x8000, 0xFFFF, 0, 0x1000, 0x2000, 0x3000)]
    assert row(png((2, 1), 16, RGB, pixels, key)) == [WHITE, (16, 32, 48)]


def test_grey_of_16_bits_is_scaled_not_clipped() -> None:
    assert row(png((4, 1), 16, GREY, [words(0, 257, 0x8080, 0xFFFF)])) == grey(0, 1, 128, 255)


def test_colour_of_16_bits_is_scaled_not_clipped() -> None:
    pixels = [words(0, 0x0101, 0x8080, 0xFFFF, 0x4040, 0x0202)]
    assert row(png((2, 1), 16, RGB, pixels)) == [(0, 1, 128), (255, 64, 2)]


def test_alpha_of_16_bits_is_blended_over_white() -> None:
    pixels = [words(0, 0xFFFF, 0, 0, 0, 0x3333)]
    assert row(png((3, 1), 16, GREY_ALPHA, pixels)) == grey(0, 255, 204)
    assert row(png((1, 1), 16, RGBA, [words(0, 0xFFFF, 0, 0x3333)])) == [(204, 255, 204)]


def test_one_bit_is_black_and_white() -> None:
    assert row(encoded(Image.new("1", (2, 1), 1), "PNG")) == grey(255, 255)
    assert row(encoded(Image.new("1", (2, 1), 0), "PNG")) == grey(0, 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_grey_becomes_three_equal_channels(kind: str) -> None:
    assert row(encoded(Image.new("L", (8, 8), 77), kind)) == grey(*[77] * 8)


def test_cmyk_that_adobe_inverted_has_its_true_colours() -> None:
    red = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    dark = encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 204)), "JPEG")
    assert b"Adobe" in red
    assert row(red) == [(255, 0, 0)] * 8
    assert row(dark) == grey(*[51] * 8)


def test_an_icc_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        plain = encoded(photo(4), kind)
        assert decode(encoded(photo(4), kind, icc_profile=profile)).tobytes() == (
            decode(plain).tobytes()
        )


def test_a_damaged_icc_profile_is_ignored() -> None:
    plain = encoded(photo(4), "JPEG")
    damaged = with_segments(plain, segment(APP2, b"ICC_PROFILE\0\x07\x02" + bytes(999)))
    assert decode(damaged).tobytes() == decode(plain).tobytes()


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_used(kind: str) -> None:
    first, second = Image.new("RGB", (6, 4), "red"), Image.new("RGB", (6, 4), "blue")
    film = encoded(first, kind, save_all=True, append_images=[second], lossless=True)
    assert row(film) == [(255, 0, 0)] * 6


@pytest.mark.parametrize(
    "kind", ["grey", "two", "palette", "16 bit", "alpha", "grey alpha", "CMYK"]
)
@pytest.mark.parametrize("band", [1, 7, 500])
def test_colours_are_the_same_however_many_rows_are_converted_at_a_time(
    monkeypatch: pytest.MonkeyPatch, kind: str, band: int
) -> None:
    picture = photo(4, (64, 48))
    alpha = picture.copy()
    alpha.putalpha(photo(5, (64, 48)).convert("L"))
    data = {
        "grey": encoded(picture.convert("L"), "PNG", transparency=100),
        "two": encoded(picture.convert("1"), "PNG"),
        "palette": encoded(picture.quantize(8), "PNG", transparency=1),
        "16 bit": encoded(Image.frombytes("I;16", (64, 48), bytes(range(256)) * 24), "PNG"),
        "alpha": encoded(alpha, "PNG"),
        "grey alpha": encoded(alpha.convert("LA"), "PNG"),
        "CMYK": encoded(picture.convert("CMYK"), "JPEG"),
    }[kind]
    whole = decode(data)
    monkeypatch.setattr("greengrocer.imaging.colour.BAND", band)
    assert decode(data).tobytes() == whole.tobytes()
    assert whole.size == (64, 48)
