import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from greengrocer.imaging.overlay import overlay
from support.make_images import photo


def change(picture: Image.Image, evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """How far each pixel has moved, [height, width]."""
    laid = np.asarray(overlay(picture, evidence), np.float64)
    moved: npt.NDArray[np.float64] = np.abs(laid - np.asarray(picture, np.float64)).sum(axis=2)
    return moved


@pytest.mark.parametrize("size", [(64, 48), (31, 97), (1, 1)])
def test_the_overlay_has_the_images_size_and_mode(size: tuple[int, int]) -> None:
    laid = overlay(photo(1, size), np.eye(3, dtype=np.float32))
    assert (laid.size, laid.mode) == (size, "RGB")


def test_the_overlay_is_strongest_where_the_evidence_is_highest() -> None:
    # An image that is wider than high shows that rows stay rows.
    evidence = np.zeros((3, 5), np.float32)
    evidence[0, 4] = 7
    grey = Image.new("RGB", (200, 60), (90, 90, 90))
    moved = change(grey, evidence)
    row, column = np.unravel_index(moved.argmax(), moved.shape)
    assert row < 20
    assert column >= 160
    assert moved[40:, :100].max() == 0


def test_the_overlay_is_interpolated_between_map_positions() -> None:
    evidence = np.array([[-2, 5]], np.float32)
    brightness = np.asarray(overlay(Image.new("RGB", (400, 4)), evidence).convert("L"))[0]
    steps = np.diff(brightness.astype(int))
    assert steps.min() >= -1
    assert steps.max() <= 5
    assert brightness[-1] > brightness[0] + 100


def test_only_differences_of_the_evidence_matter() -> None:
    evidence = np.array([[0, 1], [2, 3]], np.float32)
    picture = photo(2)
    assert overlay(picture, evidence) == overlay(picture, evidence * 10 - 100)


def test_uniform_evidence_gives_no_overlay() -> None:
    grey = Image.new("RGB", (8, 8), (120, 120, 120))
    assert overlay(grey, np.full((3, 3), 4, np.float32)) == grey


def test_heat_stays_in_the_box_that_the_model_saw() -> None:
    grey = Image.new("RGB", (40, 20), (120, 120, 120))
    evidence = np.array([[0, 1], [2, 3]], np.float32)
    laid = np.asarray(overlay(grey, evidence, (10, 5, 30, 15)))
    alone = np.asarray(overlay(Image.new("RGB", (20, 10), (120, 120, 120)), evidence))
    assert np.array_equal(laid[5:15, 10:30], alone)
    assert (laid[:5] == 120).all()
    assert (laid[:, :10] == 120).all()
    assert (laid[:, 30:] == 120).all()


def test_a_box_may_reach_beyond_the_image() -> None:
    grey = Image.new("RGB", (40, 20), (120, 120, 120))
    evidence = np.array([[0, 1], [2, 3]], np.float32)
    laid = np.asarray(overlay(grey, evidence, (0, -10, 40, 30)))
    whole = np.asarray(overlay(Image.new("RGB", (40, 40), (120, 120, 120)), evidence))
    assert np.array_equal(laid, whole[10:30])
