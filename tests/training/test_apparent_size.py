from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.imaging.geometry import Geometry
from greengrocer.training.data.apparent_size import at_apparent_size
from greengrocer.training.data.reading import read_fitted

GEOMETRY = Geometry(width=64, height=64)


def disc(diameter: int, side: int = 240) -> np.ndarray:
    """A white disc in the middle of a dark ground that becomes lighter to the right."""
    down, across = np.mgrid[:side, :side]
    inside = np.hypot(down - (side - 1) / 2, across - (side - 1) / 2) < diameter / 2
    ground = np.broadcast_to(np.linspace(20, 90, side), (side, side))
    return np.repeat(np.where(inside, 255, ground).astype(np.uint8)[:, :, None], 3, axis=2)


def seen(pixels: np.ndarray) -> float:
    """The diameter of the disc in the middle, as a share of the frame's side."""
    dark = np.flatnonzero(pixels[len(pixels) // 2, :, 0] < 150)
    middle = int(np.searchsorted(dark, pixels.shape[1] // 2))
    return (int(dark[middle]) - int(dark[middle - 1]) - 1) / int(pixels.shape[1])


@pytest.mark.parametrize("size", [0.5, 0.7, 1.0, 1.4])
def test_what_is_shown_becomes_so_much_smaller_or_larger(size: float) -> None:
    image = disc(120)
    before = image.copy()
    frame = at_apparent_size(image, size)
    assert frame.dtype == np.uint8
    assert frame.shape == (round(240 / size), round(240 / size), 3)
    assert seen(frame) == pytest.approx(0.5 * size, rel=0.02)
    np.testing.assert_array_equal(image, before)


def test_a_smaller_image_is_whole_and_its_surround_continues_it_without_its_detail() -> None:
    image = np.random.default_rng(3).integers(0, 256, (41, 60, 3)).astype(np.uint8)
    image[:, :, 2] = 255  # a blue scene
    frame = at_apparent_size(image, 0.5)
    np.testing.assert_array_equal(frame[20:61, 30:90], image)
    surround = np.concatenate([frame[:20].reshape(-1, 3), frame[61:].reshape(-1, 3)])
    assert surround[:, 2].min() >= 254
    assert surround[:, 0].std() < image[:, :, 0].std() / 2
    assert abs(surround[:, 0].mean() - image[:, :, 0].mean()) < 12


def test_a_larger_image_is_its_middle_and_at_1_it_is_itself() -> None:
    image = disc(30)
    np.testing.assert_array_equal(at_apparent_size(image, 1.4), image[34:205, 34:205])
    np.testing.assert_array_equal(at_apparent_size(image, 1.0), image)


def test_the_model_sees_the_difference_at_its_own_input(tmp_path: Path) -> None:
    path = tmp_path / "disc.png"
    Image.fromarray(disc(120)).save(path)
    for size in (0.5, 1.0, 1.4):
        fitted = read_fitted(path, GEOMETRY, size)
        assert fitted.shape == (64, 64, 3)
        assert seen(fitted) == pytest.approx(0.5 * size, rel=0.05)
    np.testing.assert_array_equal(read_fitted(path, GEOMETRY, 1.0), read_fitted(path, GEOMETRY))
