import numpy as np
import pytest
from PIL import Image

from greengrocer.training.data.augment import augment
from greengrocer.training.recipe import Augmentation
from support.make_images import photo

ALWAYS = Augmentation(image_size=48, degrade_prob=1.0, hflip=0.5)


def varied(seed: int, picture: Image.Image, how: Augmentation = ALWAYS) -> np.ndarray:
    return np.asarray(augment(picture, how, np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", range(6))
def test_a_variant_depends_only_on_its_seed(seed: int) -> None:
    np.testing.assert_array_equal(varied(seed, photo(1)), varied(seed, photo(1)))
    assert (varied(seed, photo(1)) != varied(seed + 1, photo(1))).any()


@pytest.mark.parametrize("size", [(320, 240), (20, 400), (1, 1)])
def test_any_shape_becomes_the_square(size: tuple[int, int]) -> None:
    for seed in range(5):
        found = varied(seed, photo(1, size))
        assert found.shape == (48, 48, 3)
        assert found.dtype == np.uint8


def test_the_original_image_is_unchanged() -> None:
    picture = photo(1)
    before = picture.tobytes()
    varied(0, picture)
    assert picture.tobytes() == before


def test_without_variation_the_image_is_only_resized() -> None:
    how = Augmentation(
        image_size=48,
        scale=(1, 1),
        ratio=(1, 1),
        rotation_degrees=0,
        hflip=0,
        color_jitter=0,
        degrade_prob=0,
    )
    picture = photo(1, (96, 96))
    expected = picture.resize((48, 48), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(varied(0, picture, how), np.asarray(expected))
