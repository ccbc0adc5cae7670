"""A perceptual hash: 64 bits of an image that survive another encoding, size or brightness."""

import numpy as np
from numpy.typing import NDArray

from greengrocer.datachecks.thumbnails import GREY, Bytes, Numbers

SIDE = 8  # lowest frequencies on each axis
BLOCK = 1024  # rows at a time: 200 MB with 50,000 images
MOST_PER_IMAGE = 4  # images of equal hash: many plain ones must not become all pairs


def perceptual_hashes(grey: Bytes) -> Numbers:
    """For each of ``grey`` [N, 64, 64] the signs [N, 64], -1 or 1, of its low frequencies.

    They are those of the cosine transform less their median, without the mean: pHash.
    """
    points = np.arange(GREY, dtype=np.float32) + 0.5
    basis = np.cos(np.pi / GREY * np.outer(np.arange(SIDE), points)).astype(np.float32)
    low = basis @ grey.astype(np.float32) @ basis.T
    flat = low.reshape(len(grey), -1)
    middle = np.median(flat[:, 1:], axis=1, keepdims=True)
    signs = np.where(flat > middle, 1, -1).astype(np.float32)
    signs[:, 0] = 1  # the mean: brightness must not count
    return signs


def flipped_hashes(hashes: Numbers) -> Numbers:
    """The hashes [N, 64] of the mirrored images: odd frequencies across change their sign."""
    signs = np.tile(np.where(np.arange(SIDE) % 2, -1, 1), SIDE).astype(np.float32)
    return hashes * signs


def close_pairs(hashes: Numbers, most_bits: int) -> NDArray[np.int64]:
    """Pairs [P, 2], smaller index first, whose hashes differ in at most ``most_bits`` bits.

    Mirrored images count too. Of each image at most the four closest are kept.
    """
    found = []
    for turned in (hashes, flipped_hashes(hashes)):
        for start in range(0, len(hashes), BLOCK):
            rows = np.arange(start, min(start + BLOCK, len(hashes)))
            apart = (64 - hashes[rows] @ turned.T) / 2
            apart[rows[:, None] >= np.arange(len(hashes))] = np.inf
            keep = min(MOST_PER_IMAGE, apart.shape[1] - 1)
            if keep < 1:
                continue
            near = np.argpartition(apart, keep, axis=1)[:, :keep]
            close = np.take_along_axis(apart, near, axis=1) <= most_bits
            one = np.broadcast_to(rows[:, None], near.shape)[close]
            found.append(np.stack([one, near[close]], axis=1))
    if not found:
        return np.zeros((0, 2), np.int64)
    return np.unique(np.concatenate(found), axis=0)
