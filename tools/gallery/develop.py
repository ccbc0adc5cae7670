"""Turns a rendered frame into a gallery JPEG: grain smoothed, colours lifted, no metadata."""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from tools.gallery.noise import Array

QUALITIES = (90, 88, 86, 84, 82, 80, 77, 74, 70, 65)


def develop(frame: Path, picture: Path, limit: int, saturation: float = 1.03) -> int:
    """Writes `picture` from `frame` in at most `limit` bytes where it can; returns its size."""
    with Image.open(frame) as opened:
        pixels = np.asarray(opened.convert("RGB"), dtype=float) / 255
    pixels = _lifted(_smoothed(_unspecked(pixels)), saturation)
    image = Image.fromarray(np.round(pixels * 255).astype(np.uint8))
    data = b""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        data = buffer.getvalue()
        if len(data) <= limit:
            break
    picture.write_bytes(data)
    return len(data)


def _unspecked(pixels: Array, kept: float = 0.06) -> Array:
    """Levels lone bright and dark specks, as path tracing leaves them in dim corners.

    A pixel that is further than `kept` from the median of its 3 by 3 neighbourhood is a speck if
    its neighbourhood is a scatter; along an edge, its like are there, and it stays.
    """
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = pixels.shape[:2]
    around = np.stack(
        [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0
    )
    median = np.median(around, axis=0)
    alike = (np.abs(around - pixels).max(axis=-1) < kept).sum(axis=0)
    speck = np.clip((5 - alike) / 2, 0, 1)[..., None]
    return np.asarray(pixels + (median - pixels) * speck)


def _smoothed(pixels: Array, reach: int = 4, grain: float = 0.05) -> Array:
    """Non-local means: each pixel the mean of those near it whose surroundings look alike.

    Averages the renderer's grain away, of up to about `grain` in each channel, but keeps texture.
    """
    total, weights = np.zeros_like(pixels), np.zeros(pixels.shape[:2])
    padded = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    height, width = pixels.shape[:2]
    for down in range(2 * reach + 1):
        for across in range(2 * reach + 1):
            near = padded[down : down + height, across : across + width]
            apart = _blurred(((near - pixels) ** 2).sum(axis=-1))
            weight = np.exp(-apart / grain**2)
            total += near * weight[..., None]
            weights += weight
    return np.asarray(total / weights[..., None])


def _blurred(field: Array) -> Array:
    """The mean over each 3 by 3 neighbourhood."""
    padded = np.pad(field, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9)


def _lifted(pixels: Array, saturation: float) -> Array:
    """Colours a little stronger, as a camera renders them."""
    grey = pixels @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(np.clip(grey[..., None] + (pixels - grey[..., None]) * saturation, 0, 1))
