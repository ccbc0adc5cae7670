import time
from contextlib import suppress

import pytest
from conformance.jpegs import APP1, segment, with_repeated_scan, with_segments
from PIL import Image

from greengrocer.errors import (
    DeadlineExceeded,
    ImageTooSlow,
    TooManyPixels,
    UnreadableImage,
)
from greengrocer.imaging import decode as decoding
from greengrocer.imaging.colour import BAND, upright_rgb
from greengrocer.imaging.cost import webp_seconds
from greengrocer.imaging.decode import DecodeLimits, decode
from support.make_images import encoded, jpeg, noise, photo
from support.png import GREY, SIGNATURE, chunk, header, png

FORMATS = ("JPEG", "PNG", "WEBP")


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_lossless_image_is_decoded_exactly(kind: str) -> None:
    picture = noise((37, 23))
    decoded = decode(encoded(picture, kind, lossless=True))
    assert decoded.mode == "RGB"
    assert decoded.tobytes() == picture.tobytes()


def test_a_header_of_900_megapixels_is_refused_before_any_pixel_is_decoded() -> None:
    tiny = SIGNATURE + header((30000, 30000), 8, GREY) + chunk(b"IDAT", b"never looked at")
    with pytest.raises(
        TooManyPixels, match=r"30000 x 30000 pixels, 900\.0 megapixels: at most 120"
    ):
        decode(tiny)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_at_the_pixel_limit_is_accepted(kind: str) -> None:
    data = encoded(photo(1, (40, 30)), kind)
    assert decode(data, limits=DecodeLimits(pixels=1200)).size == (40, 30)
    with pytest.raises(TooManyPixels):
        decode(data, limits=DecodeLimits(pixels=1199))


def test_a_contradicting_second_header_is_refused() -> None:
    whole = png((8, 8), 8, GREY, [bytes(8)] * 8)
    lying = SIGNATURE + header((1, 1), 8, GREY) + whole[len(SIGNATURE) :]
    assert decode(whole).size == (8, 8)
    with pytest.raises(UnreadableImage, match="IHDR"):
        decode(lying)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_truncated_in_its_pixels_is_unreadable(kind: str) -> None:
    data = encoded(photo(2), kind)
    points = range(13, len(data) - 30, len(data) // 40)
    for point in points:
        with pytest.raises(UnreadableImage):
            decode(data[:point])


@pytest.mark.parametrize("kind", FORMATS)
def test_an_image_truncated_in_its_last_bytes_is_complete_or_unreadable(kind: str) -> None:
    data = encoded(photo(2), kind)
    whole = decode(data).tobytes()
    for missing in range(1, 30):
        try:
            assert decode(data[:-missing]).tobytes() == whole
        except UnreadableImage:
            continue


@pytest.mark.parametrize("kind", FORMATS)
def test_bytes_after_the_image_are_ignored(kind: str) -> None:
    data = encoded(photo(2), kind)
    assert decode(data + b"\0trailing" * 100).tobytes() == decode(data).tobytes()


def test_an_exhausted_cpu_time_budget_stops_the_decoder() -> None:
    with pytest.raises(ImageTooSlow, match="over 0 seconds"):
        decode(jpeg(1), limits=DecodeLimits(seconds=0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_decoder_over_its_budget_is_stopped_midway(kind: str) -> None:
    data = encoded(noise((2400, 1600)), kind, quality=95, compress_level=1)

    def spent(budget: float) -> float:
        started = time.thread_time()
        with suppress(ImageTooSlow):
            decode(data, limits=DecodeLimits(seconds=budget))
        return time.thread_time() - started

    whole = spent(60)
    assert spent(whole / 10) < whole / 2


def test_the_cpu_time_of_other_threads_is_not_charged_to_the_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The budget is the thread's own processor time: the wall clock may jump as it likes.
    wall = iter(range(0, 10**9, 3600))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(wall)))
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    assert decode(jpeg(1), limits=DecodeLimits(seconds=1e-9)).size == (64, 48)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_check_that_raises_stops_the_decoder_midway(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "AT_ONCE_SECONDS", 0)
    data = encoded(noise((600, 600)), kind, quality=95)

    class Check:
        calls = 0
        last = 10**9

        def __call__(self) -> None:
            self.calls += 1
            if self.calls >= self.last:
                raise DeadlineExceeded("midway")

    whole, halved = Check(), Check()
    decode(data, check=whole)
    halved.last = whole.calls - 2
    with pytest.raises(DeadlineExceeded, match="midway"):
        decode(data, check=halved)
    assert 3 < halved.calls == whole.calls - 2


def test_a_jpeg_with_hundreds_of_scans_is_refused() -> None:
    progressive = encoded(Image.new("L", (400, 300), 90), "JPEG", progressive=True)
    bomb = with_repeated_scan(progressive, 300)
    for limits in (DecodeLimits(), DecodeLimits(pixels=400 * 300)):
        with pytest.raises(UnreadableImage, match=r"scans, 30\d"):
            decode(bomb, limits=limits)
    assert decode(progressive, limits=DecodeLimits(pixels=400 * 300)).size == (400, 300)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"Exif\0\0",
        b"Exif\0\0junk",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 20,
        b"Exif\0\0MM\0*" + bytes(60000),
        bytes(range(256)) * 100,
    ],
    ids=["empty", "no header", "junk", "astray", "endless", "zeros", "noise"],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_exif_does_not_refuse_a_valid_image(kind: str, block: bytes) -> None:
    picture = photo(5, (64, 48))
    if kind == "JPEG":
        data = with_segments(encoded(picture, kind), segment(APP1, block))
    else:
        data = encoded(picture, kind, exif=block)
    assert decode(data).tobytes() == decode(encoded(picture, kind)).tobytes()


def test_of_concatenated_jpegs_the_first_is_used() -> None:
    red, blue = Image.new("RGB", (400, 300), "red"), Image.new("RGB", (400, 300), "blue")
    both = encoded(red, "MPO", save_all=True, append_images=[blue])
    decoded = decode(both, target=(50, 40))
    assert decoded.size == (100, 75)
    assert decoded.getpixel((9, 9)) == decode(encoded(red, "JPEG")).getpixel((9, 9))


@pytest.mark.accept
@pytest.mark.parametrize("progressive", [False, True])
def test_a_photo_of_108_megapixels_is_decoded_within_its_budget(progressive: bool) -> None:
    taken = noise((1000, 750)).resize((12_000, 9000), Image.Resampling.BICUBIC)
    data = encoded(taken, "JPEG", quality=90, progressive=progressive)
    started = time.thread_time()
    assert decode(data, (224, 224)).size == (1500, 1125)
    assert time.thread_time() - started < DecodeLimits().seconds


def test_a_webp_that_may_exceed_its_budget_is_refused_before_decoding() -> None:
    data = encoded(photo(1, (1000, 1000)), "WEBP")
    assert decode(data, limits=DecodeLimits(seconds=1)).size == (1000, 1000)
    with pytest.raises(ImageTooSlow, match=r"this WebP may take 0\.0 seconds"):
        decode(data, limits=DecodeLimits(seconds=0.02))


def test_the_largest_webp_is_within_the_default_budget() -> None:
    limits = DecodeLimits()
    assert webp_seconds(limits.pixels, 20_000_000) <= limits.seconds


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(3000, 1000), (3_000_000, 1), (1, 3_000_000)])
def test_the_time_budget_is_checked_during_colour_conversion(
    size: tuple[int, int], orientation: int
) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1

    picture = Image.new("RGBA", size)
    assert upright_rgb(picture, orientation, check).mode == "RGB"
    assert calls >= 3_000_000 // BAND
