from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from greengrocer.evaluation.corruptions import CORRUPTIONS, SEVERITIES, SIDE, corrupt, shrink
from support.make_images import photo

SIZES = [(348, 348), (348, 464), (61, 40), (1, 1)]


@pytest.fixture(scope="module")
def detailed() -> Image.Image:
    """An image with detail at every scale, so that blur and scaling have something to take."""
    smooth = np.asarray(photo(3, (348, 348)), np.float32)
    stripes = 40 * np.sign(np.sin(np.arange(348) / 2.3))
    return Image.fromarray((0.6 * smooth + 51 + stripes[:, None]).clip(0, 255).astype(np.uint8))


def distance(one: Image.Image, other: Image.Image) -> float:
    """The root of the mean squared difference, in grey levels."""
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(np.sqrt((difference**2).mean()))


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", SIZES)
def test_size_and_mode_are_kept_and_the_original_is_unchanged(
    name: str, size: tuple[int, int]
) -> None:
    picture = photo(1, size)
    before = picture.tobytes()
    for severity in SEVERITIES:
        damaged = corrupt(picture, name, severity, seed=1)
        assert (damaged.size, damaged.mode) == (size, "RGB")
    assert picture.tobytes() == before


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_pixels(name: str, detailed: Image.Image) -> None:
    once, again = (corrupt(detailed, name, 3, seed=7).tobytes() for _ in range(2))
    assert once == again


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_each_severity_is_farther_from_the_original_than_the_one_before(
    name: str, seed: int, detailed: Image.Image
) -> None:
    distances = [distance(detailed, corrupt(detailed, name, s, seed)) for s in SEVERITIES]
    assert distances[0] > 0.5
    assert all(less < more for less, more in pairwise(distances)), distances


def test_noise_has_the_deviation_that_the_table_says() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    for severity, level in zip(SEVERITIES[:2], CORRUPTIONS["noise"].levels[:2], strict=True):
        assert distance(grey, corrupt(grey, "noise", severity, 0)) == pytest.approx(level, rel=0.02)
    assert corrupt(grey, "noise", 1, 0).tobytes() != corrupt(grey, "noise", 1, 2).tobytes()


def test_brightness_alternates_between_lighter_and_darker() -> None:
    grey = Image.new("RGB", (8, 8), (128, 128, 128))
    means = [np.asarray(corrupt(grey, "brightness", 1, seed)).mean() for seed in range(4)]
    assert means == pytest.approx([153.5, 102.5, 153.5, 102.5], abs=0.5)


def test_rotation_alternates_direction_and_leaves_no_blank_corners(
    detailed: Image.Image,
) -> None:
    white = Image.new("RGB", (64, 48), (255, 255, 255))
    assert all(np.asarray(corrupt(white, "rotation", s, 0)).min() == 255 for s in SEVERITIES)
    left, right = (corrupt(detailed, "rotation", 2, seed) for seed in (0, 1))
    straightened = right.rotate(20, Image.Resampling.BILINEAR)
    middle = (100, 100, 248, 248)
    assert distance(straightened.crop(middle), left.crop(middle)) < 0.5 * distance(left, right)


def test_contrast_keeps_the_mean_and_scales_the_spread(detailed: Image.Image) -> None:
    before, after = (np.asarray(p) for p in (detailed, corrupt(detailed, "contrast", 2, 0)))
    assert after.mean() == pytest.approx(before.mean(), abs=0.5)
    assert after.std() == pytest.approx(0.5 * before.std(), rel=0.02)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((348, 464), (348, 464)), ((700, 1400), (SIDE, 2 * SIDE)), ((4000, 3000), (467, SIDE))],
)
def test_large_images_are_shrunk_to_the_size_that_severities_assume(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert shrink(Image.new("RGB", size)).size == expected


@pytest.mark.parametrize(("name", "severity"), [("snow", 1), ("blur", 0), ("blur", 6)])
def test_an_unknown_name_or_severity_is_an_error(name: str, severity: int) -> None:
    with pytest.raises(KeyError):
        corrupt(photo(1), name, severity, 0)
