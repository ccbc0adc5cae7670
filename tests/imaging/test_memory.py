"""The memory estimated from a header, compared with what real processes take."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conformance import jpegs, pngs, webps
from greengrocer.errors import ImageRefused, TooManyPixels
from greengrocer.imaging.decode import DecodeLimits, decode, plan_decode
from support.make_images import encoded, photo
from support.orientation import stored
from support.peaks import peak_bytes
from support.png import GREY_ALPHA

SIDE = 224  # pixels of what the image is squeezed to
SMALL = (40, 30)
SLACK = 12_000_000  # bytes that the bound may be too large, and half as much again as is taken
TURNED = pngs.chunk(b"eXIf", stored(photo(1, (4, 4)), 6)[1][6:])
PALETTE = pngs.chunk(b"PLTE", bytes(6))
Size = tuple[int, int]
Build = Callable[[Size], bytes]


def of_png(depth: int, colour: int, *extra: bytes) -> Build:
    def build(size: Size) -> bytes:
        width, height = size
        samples = {**pngs.SAMPLES, GREY_ALPHA: 2}[colour]
        left = height * (1 + (width * depth * samples + 7) // 8)
        packer, rows = zlib.compressobj(1), []
        while left > 0:
            rows.append(packer.compress(bytes(min(left, 1 << 24))))
            left -= 1 << 24
        rows.append(packer.flush())
        start = pngs.header(size, depth, colour)
        return pngs.joined(start, TURNED, *extra, pngs.chunk(b"IDAT", b"".join(rows)))

    return build


def of(kind: str, mode: str, end: int | None = None, **how: object) -> Build:
    def build(size: Size) -> bytes:
        picture, exif = stored(Image.effect_noise((64, 64), 50).resize(size).convert("RGB"), 6)
        if mode == "RGBA":
            picture.putalpha(picture.convert("L"))
        return encoded(picture.convert(mode), kind, exif=exif, **how)[:end]

    return build


def square(pixels: int) -> Size:
    return int(pixels**0.5), int(pixels**0.5)


SHAPES: dict[str, Callable[[int], Size]] = {
    "square": square,
    "one row": lambda pixels: (pixels, 1),
    "one column": lambda pixels: (1, pixels),
    "wide": lambda pixels: (pixels // 40, 40),
    "tall": lambda pixels: (40, pixels // 40),
    "hardly tall": lambda pixels: (SIDE - 1, pixels // SIDE),
}
PNGS = {
    "RGB": of_png(8, pngs.RGB),
    "grey": of_png(8, pngs.GREY),
    "1 bit": of_png(1, pngs.GREY),
    "grey of 16 bits": of_png(16, pngs.GREY),
    "RGBA": of_png(8, pngs.RGBA),
    "RGBA of 16 bits": of_png(16, pngs.RGBA),
    "grey with alpha of 16 bits": of_png(16, GREY_ALPHA),
    "palette with alpha": of_png(4, pngs.PALETTE, PALETTE, pngs.chunk(b"tRNS", b"\x80")),
    "one colour transparent": of_png(8, pngs.RGB, pngs.chunk(b"tRNS", bytes(6))),
}
OTHERS = {
    "JPEG": of("JPEG", "RGB"),
    "progressive JPEG": of("JPEG", "RGB", progressive=True),
    "progressive JPEG without subsampling": of("JPEG", "RGB", progressive=True, subsampling=0),
    "progressive CMYK": of("JPEG", "CMYK", progressive=True),
    "JPEG without an end": of("JPEG", "RGB", end=-2),
    "progressive CMYK without an end": of("JPEG", "CMYK", end=-2, progressive=True),
    "WebP": of("WEBP", "RGB", method=0),
    "WebP with alpha": of("WEBP", "RGBA", method=0),
    "lossless WebP with alpha": of("WEBP", "RGBA", lossless=True, quality=0, method=0),
}


def hold_to_it(build: Build, size: Size, folder: Path) -> None:
    picture, small = folder / "picture", folder / "small"
    picture.write_bytes(build(size))
    small.write_bytes(build(SMALL))
    bound = plan_decode(picture.read_bytes(), (SIDE, SIDE)).memory_bytes
    taken = peak_bytes(picture, SIDE, small)
    assert taken <= bound
    assert bound <= 1.5 * taken + SLACK + 8 * sum(size)


@pytest.mark.accept
@pytest.mark.parametrize("shape", ["square", "one row", "one column"])
@pytest.mark.parametrize("name", ["RGB", "RGBA of 16 bits"])
def test_a_png_takes_no_more_memory_than_estimated_from_its_header(
    tmp_path: Path, name: str, shape: str
) -> None:
    hold_to_it(PNGS[name], SHAPES[shape](2_000_000), tmp_path)


@pytest.mark.parametrize("name", ["JPEG", "progressive CMYK", "lossless WebP with alpha"])
def test_any_image_takes_no_more_memory_than_estimated_from_its_header(
    tmp_path: Path, name: str
) -> None:
    hold_to_it(OTHERS[name], square(2_000_000), tmp_path)


@pytest.mark.accept
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PNGS)
def test_every_png_takes_no_more_memory_than_estimated_from_its_header(
    tmp_path: Path, name: str, shape: str
) -> None:
    hold_to_it(PNGS[name], SHAPES[shape](20_000_000), tmp_path)


@pytest.mark.accept
@pytest.mark.parametrize("pixels", [500_000, 20_000_000, 110_000_000])
@pytest.mark.parametrize("name", OTHERS)
def test_every_image_takes_no_more_memory_than_estimated_from_its_header(
    tmp_path: Path, name: str, pixels: int
) -> None:
    hold_to_it(OTHERS[name], square(pixels), tmp_path)


@pytest.mark.accept
@pytest.mark.parametrize("size", [(65500, 1), (65500, 200), (1, 65500), (200, 65500)])
@pytest.mark.parametrize("progressive", [False, True])
def test_the_longest_jpeg_takes_no_more_memory_than_estimated_from_its_header(
    tmp_path: Path, size: Size, progressive: bool
) -> None:
    picture, small = tmp_path / "picture", tmp_path / "small"
    picture.write_bytes(encoded(photo(1, size), "JPEG", progressive=progressive))
    small.write_bytes(encoded(photo(1), "JPEG", progressive=progressive))
    taken = peak_bytes(picture, SIDE, small)
    assert taken <= plan_decode(picture.read_bytes(), (SIDE, SIDE)).memory_bytes


def cheap(size: Size) -> dict[str, bytes]:
    """Headers of all kinds: what follows them is never looked at."""
    jpeg, progressive = of("JPEG", "RGB")(SMALL), of("JPEG", "CMYK", progressive=True)(SMALL)
    webp = encoded(photo(1), "WEBP")
    return {
        "JPEG": jpegs.with_size(jpeg, *size),
        "progressive": jpegs.with_size(progressive, *size),
        "PNG": pngs.joined(pngs.header(size, 16, pngs.RGBA)),
        "WEBP": webps.webp(webps.canvas(size), webps.image(webp)),
    }


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144), (12000, 9000), (9000, 12000)])
@pytest.mark.parametrize("kind", cheap(SMALL))
def test_a_phones_largest_photo_is_within_the_default_limits(kind: str, size: Size) -> None:
    data = cheap(size)[kind]
    assert plan_decode(data, (SIDE, SIDE)).memory_bytes < DecodeLimits().bytes
    assert size[0] * size[1] < DecodeLimits().pixels


@pytest.mark.parametrize("kind", cheap(SMALL))
def test_an_image_at_the_pixel_limit_fits_if_its_shape_is_ordinary(
    kind: str,
) -> None:
    data = cheap((10_950, 10_950))[kind] + bytes(20_000_000)
    assert plan_decode(data, (SIDE, SIDE)).memory_bytes < DecodeLimits().bytes


@pytest.mark.parametrize("size", [(100_000_000, 1), (1, 100_000_000)])
def test_a_shape_that_takes_too_much_memory_is_refused_with_that_reason(size: Size) -> None:
    data = pngs.joined(pngs.header(size, 16, pngs.RGBA))
    with pytest.raises(TooManyPixels, match=r"take 6,\d\d\d MB of memory: at most 2,000 are"):
        decode(data, (SIDE, SIDE))


def test_a_jpeg_decoded_at_a_smaller_scale_takes_less_memory() -> None:
    data = encoded(photo(1, (4000, 3000)), "JPEG")
    assert plan_decode(data, (SIDE, SIDE)).memory_bytes < plan_decode(data).memory_bytes / 7


def test_an_array_is_estimated_like_an_image_of_its_size() -> None:
    pixels = np.zeros((3000, 2000, 3), np.uint8)
    assert 24_000_000 <= plan_decode(pixels, (SIDE, SIDE)).memory_bytes < 40_000_000


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", pngs.SIGNATURE + bytes(9), jpegs.SOI + jpegs.EOI, b"\xff\xd8\xff"]
)
def test_planning_to_decode_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(ImageRefused):
        plan_decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_header_has_an_estimate_or_is_refused(kind: str) -> None:
    whole = encoded(photo(1), kind)
    for length in range(700):
        try:
            assert plan_decode(whole[:length]).memory_bytes > 0
        except ImageRefused:
            continue
