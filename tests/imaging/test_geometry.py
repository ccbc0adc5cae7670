import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from greengrocer.imaging.geometry import Geometry, fit, seen_box, seen_share
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


def test_a_share_is_the_middle_of_what_is_squeezed_without_it() -> None:
    picture = photo(3, (333, 210))
    whole = fit(picture, Geometry(width=80, height=80))
    geometry = Geometry(width=64, height=64, share=0.8)
    assert abs(fit(picture, geometry) - whole[8:72, 8:72].astype(np.int16)).max() <= 1
    assert geometry.decoded_size == (80, 80)
    assert seen_share(picture.size, geometry) == pytest.approx((0.1, 0.1, 0.9, 0.9))
    assert seen_box(picture.size, geometry) == pytest.approx((33.3, 21.0, 299.7, 189.0))


def test_a_share_of_a_single_row_is_that_row() -> None:
    assert fit(Image.new("RGB", (500, 1), "red"), Geometry(width=16, height=16, share=0.25)).all(
        axis=(0, 1)
    ).tolist() == [True, False, False]


def test_the_geometry_chooses_the_resampling_filter() -> None:
    bilinear = fit(photo(1), Geometry(width=40, height=24))
    bicubic = fit(photo(1), Geometry(width=40, height=24, resample="bicubic"))
    assert not np.array_equal(bilinear, bicubic)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 15},
        {"height": 2049},
        {"shape": "crop"},
        {"shorter_side": 64},
        {"shape": "letterbox"},
        {"shape": "crop", "shorter_side": 24},
        {"shape": "letterbox", "fill": (0, 0, 256)},
        {"share": 0.2},
        {"share": 1.1},
        {"share": 0.8, "shape": "crop", "shorter_side": 64},
        {"resample": "lanczos", "antialias": False},
        {"resample": "x"},
        {"mean": 0},
    ],
)
def test_an_unknown_geometry_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Geometry.model_validate({"width": 40, "height": 24, **wrong})


def as_torchvision(picture: Image.Image, shorter: int, size: tuple[int, int]) -> Image.Image:
    """Resize, which rounds the longer side down, and CenterCrop, which rounds half to even."""
    whole = tuple(
        shorter if side == min(picture.size) else int(shorter * side / min(picture.size))
        for side in picture.size
    )
    resized = picture.resize((whole[0], whole[1]), Image.Resampling.BILINEAR)
    left, top = (round((a - b) / 2.0) for a, b in zip(whole, size, strict=True))
    return resized.crop((left, top, left + size[0], top + size[1]))


@pytest.mark.parametrize(
    ("size", "levels"),
    [((320, 240), 0), ((203, 405), 0), ((50, 37), 0), ((64, 64), 0), ((999, 31), 1)],
)
def test_a_crop_is_what_torchvision_resizes_and_crops(size: tuple[int, int], levels: int) -> None:
    picture = photo(2, size)
    geometry = Geometry(width=56, height=48, shape="crop", shorter_side=64)
    wanted = np.asarray(as_torchvision(picture, 64, (56, 48)), np.int16)
    assert abs(fit(picture, geometry) - wanted).max() <= levels


def test_a_crop_of_an_extreme_image_takes_no_memory_for_what_is_not_shown() -> None:
    geometry = Geometry(width=16, height=16, shape="crop", shorter_side=4096)
    assert fit(photo(1, (30_000, 1)), geometry).shape == (16, 16, 3)


def test_where_a_crop_is_off_by_half_a_pixel_the_geometry_says_to_which_side() -> None:
    picture = photo(1, (67, 64))  # three columns too many
    rounded = Geometry(width=64, height=64, shape="crop", shorter_side=64)
    floored = rounded.model_copy(update={"centre": "floor"})
    assert np.array_equal(fit(picture, rounded), np.asarray(picture)[:, 2:66])
    assert np.array_equal(fit(picture, floored), np.asarray(picture)[:, 1:65])


def test_a_letterbox_shows_the_whole_image_between_bars() -> None:
    geometry = Geometry(width=32, height=32, shape="letterbox", fill=(1, 2, 3))
    pixels = fit(Image.new("RGB", (64, 31), "red"), geometry)
    assert (pixels[8:24] == (255, 0, 0)).all()  # 15.5 rows, rounded to 16
    assert (pixels[:8] == (1, 2, 3)).all()
    assert (pixels[24:] == (1, 2, 3)).all()


def test_without_antialias_an_image_is_read_as_tensorflow_reads_it() -> None:
    pixels = np.asarray(photo(3, (100, 80)), np.float64)
    xs, ys = (np.arange(20) + 0.5) * 5 - 0.5, (np.arange(16) + 0.5) * 5 - 0.5
    found = fit(photo(3, (100, 80)), Geometry(width=20, height=16, antialias=False))
    assert np.array_equal(found, pixels[ys.astype(int)][:, xs.astype(int)])


def test_what_the_model_sees_lies_in_the_middle_of_the_image() -> None:
    crop = Geometry(width=32, height=32, shape="crop", shorter_side=64)
    assert seen_box((256, 128), crop) == (96, 32, 160, 96)
    assert seen_share((256, 128), crop) == (0.375, 0.25, 0.625, 0.75)
    letterbox = Geometry(width=32, height=32, shape="letterbox", fill=(0, 0, 0))
    assert seen_box((64, 32), letterbox) == (0, -16, 64, 48)
    squeeze = Geometry(width=32, height=32)
    assert seen_box((64, 32), squeeze) == (0, 0, 64, 32)
    assert seen_share((64, 32), squeeze) is None
