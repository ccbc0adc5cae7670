"""EXIF orientation is applied before resizing: a turned image gives the same pixels."""

import numpy as np
import pytest

from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import Geometry, fit
from support.make_images import encoded, photo
from support.orientation import stored

GEOMETRY = Geometry(width=40, height=24)
ALL = range(1, 9)


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_lossless_image_gives_identical_pixels_in_every_orientation(
    kind: str, orientation: int
) -> None:
    upright = photo(8, (91, 53))
    picture, exif = stored(upright, orientation)
    decoded = decode(encoded(picture, kind, lossless=True, exif=exif), target=GEOMETRY.size)
    assert decoded.size == (91, 53)
    assert np.array_equal(fit(decoded, GEOMETRY), fit(upright, GEOMETRY))


@pytest.mark.parametrize("orientation", ALL)
def test_a_jpeg_gives_nearly_the_same_pixels_in_every_orientation(orientation: int) -> None:
    upright = photo(8, (600, 400))
    picture, exif = stored(upright, orientation)
    data = encoded(picture, "JPEG", quality=95, exif=exif)
    drafted = fit(decode(data, target=GEOMETRY.size), GEOMETRY).astype(int)
    assert np.abs(drafted - fit(upright, GEOMETRY)).mean() < 3


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("target", [(200, 20), (20, 200), (64, 64), (149, 99), (601, 3)])
def test_a_scaled_decode_never_falls_below_the_target(
    target: tuple[int, int], orientation: int
) -> None:
    picture, exif = stored(photo(8, (1200, 800)), orientation)
    width, height = decode(encoded(picture, "JPEG", exif=exif), target=target).size
    assert width >= target[0]
    assert height >= target[1]
    assert width * 2 == pytest.approx(height * 3, abs=3)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_at_a_smaller_scale(orientation: int) -> None:
    picture, exif = stored(photo(8, (1600, 1200)), orientation)
    assert decode(encoded(picture, "JPEG", exif=exif), target=(200, 150)).size == (200, 150)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_changes_nothing(orientation: int) -> None:
    upright = photo(8, (91, 53))
    _, exif = stored(upright, orientation)
    assert decode(encoded(upright, "PNG", exif=exif)).tobytes() == upright.tobytes()


def test_transparency_is_kept_while_turning() -> None:
    picture, exif = stored(photo(8, (9, 5)).convert("RGBA"), 6)
    picture.putalpha(0)
    decoded = decode(encoded(picture, "PNG", exif=exif))
    assert decoded.size == (9, 5)
    assert decoded.getextrema() == ((255, 255),) * 3
