import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from greengrocer.imaging.geometry import Geometry, fit
from support.make_images import photo


@pytest.mark.parametrize("size", [(320, 240), (40, 24), (1, 1), (3000, 2)])
def test_any_shape_becomes_the_models_input(size: tuple[int, int]) -> None:
    pixels = fit(photo(1, size), Geometry(width=40, height=24))
    assert pixels.shape == (24, 40, 3)
    assert pixels.dtype == np.uint8


def test_an_image_of_the_right_size_is_unchanged() -> None:
    picture = photo(1, (40, 24))
    assert np.array_equal(fit(picture, Geometry(width=40, height=24)), np.asarray(picture))


def test_squeezing_keeps_every_corner_of_the_image() -> None:
    picture = Image.new("RGB", (400, 100))
    for x, y, colour in ((0, 0, "red"), (200, 0, "lime"), (0, 50, "blue"), (200, 50, "white")):
        picture.paste(colour, (x, y, x + 200, y + 50))
    pixels = fit(picture, Geometry(width=16, height=16))
    corners = [tuple(pixels[y, x]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))]
    assert corners == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_the_geometry_chooses_the_resampling_filter() -> None:
    bilinear = fit(photo(1), Geometry(width=40, height=24))
    bicubic = fit(photo(1), Geometry(width=40, height=24, resample="bicubic"))
    assert not np.array_equal(bilinear, bicubic)


@pytest.mark.parametrize(
    "wrong", [{"width": 15}, {"height": 2049}, {"shape": "crop"}, {"resample": "x"}, {"mean": 0}]
)
def test_an_unknown_geometry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Geometry.model_validate({"width": 40, "height": 24, **wrong})
