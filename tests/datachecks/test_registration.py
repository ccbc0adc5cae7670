"""A copy can be laid over its original; another photo cannot."""

import numpy as np
import pytest
from PIL import Image

from greengrocer.datachecks.hashes import close_pairs, flipped_hashes, perceptual_hashes
from greengrocer.datachecks.registration import register
from support.make_images import photo


def small(image: Image.Image) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    return np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX))


PHOTOS = [photo(seed) for seed in range(12)]
ORIGINALS = np.stack([small(image) for image in PHOTOS])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("degrees", [0, -6, 4])
@pytest.mark.parametrize("box", [(0, 0, 320, 240), (30, 10, 300, 235), (60, 45, 320, 240)])
def test_a_copy_under_an_affine_map(
    box: tuple[int, int, int, int], degrees: int, flip: bool
) -> None:
    copies = []
    for image in PHOTOS:
        changed = image.rotate(degrees, Image.Resampling.BICUBIC).crop(box)
        changed = changed.point(lambda level: level * 0.7)
        copies.append(
            small(changed.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else changed)
        )
    found = register(ORIGINALS, np.stack(copies))
    assert np.median(found.likeness) > 0.87  # a turned copy has black corners
    assert (found.likeness > 0.75).mean() > 0.9
    sure = found.likeness > 0.75
    assert (found.flipped[sure] == flip).all()
    moved = flip or degrees != 0 or box != (0, 0, 320, 240)
    assert (found.unmoved[sure] == (not moved)).all()


def test_another_photo_is_not_alike() -> None:
    found = register(ORIGINALS, np.roll(ORIGINALS, 1, axis=0))
    assert found.likeness.max() < 0.75


def test_no_pairs() -> None:
    assert register(ORIGINALS[:0], ORIGINALS[:0]).likeness.shape == (0,)


def test_the_hash_of_the_mirrored_image_needs_no_mirrored_image() -> None:
    flipped = perceptual_hashes(ORIGINALS[:, :, ::-1])
    assert (flipped_hashes(perceptual_hashes(ORIGINALS)) == flipped).mean() > 0.95


def test_hashes_find_copies_and_mirrored_copies() -> None:
    darker = (ORIGINALS * 0.6).astype(np.uint8)
    hashes = perceptual_hashes(np.concatenate([ORIGINALS, darker, ORIGINALS[:, :, ::-1]]))
    pairs = {tuple(pair) for pair in close_pairs(hashes, 6).tolist()}
    for index in range(len(PHOTOS)):
        assert {(index, index + 12), (index, index + 24)} <= pairs
    assert all(one % 12 == other % 12 for one, other in pairs)
