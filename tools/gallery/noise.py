"""Seeded noise over points in space, so that a surface has no seam and a picture no chance."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_Words = NDArray[np.uint32]


def _hash(cells: NDArray[np.int64], seed: int) -> Array:
    """A number in [0, 1) for each integer lattice cell."""
    words: _Words = (cells & 0xFFFFFFFF).astype(np.uint32)
    mixed = words[..., 0] * np.uint32(0x8DA6B343)
    mixed ^= words[..., 1] * np.uint32(0xD8163841)
    mixed ^= words[..., 2] * np.uint32(0xCB1AB31F)
    mixed ^= np.uint32((seed * 0x9E3779B1) & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    return mixed.astype(np.float64) / 2**32


def value(points: Array, seed: int) -> Array:
    """Smooth value noise in [-1, 1], one lattice cell a unit."""
    low = np.floor(points).astype(np.int64)
    part = points - low
    fade = part**3 * (part * (part * 6 - 15) + 10)
    total = np.zeros(points.shape[:-1])
    for corner in range(8):
        bits = np.array([corner & 1, corner >> 1 & 1, corner >> 2 & 1])
        weight = np.where(bits, fade, 1 - fade).prod(axis=-1)
        total += weight * _hash(low + bits, seed)
    return total * 2 - 1


def fbm(points: Array, scale: float, seed: int, octaves: int = 4) -> Array:
    """Fractal noise, about [-1, 1]: each octave twice as fine and half as strong."""
    total = np.zeros(points.shape[:-1])
    strength = 1.0
    for octave in range(octaves):
        total += strength * value(points * scale * 2**octave, seed + 101 * octave)
        strength /= 2
    return total / 1.4


def cells(points: Array, scale: float, seed: int) -> tuple[Array, Array, Array]:
    """Worley noise: distance to the nearest and the second nearest site, and the site's number."""
    scaled = points * scale
    low = np.floor(scaled).astype(np.int64)
    nearest = np.full(points.shape[:-1], 9.0)
    second = nearest.copy()
    number = np.zeros_like(nearest)
    for index in range(27):
        cell = low + np.array([index % 3 - 1, index // 3 % 3 - 1, index // 9 - 1])
        site = cell + np.stack([_hash(cell, seed + k) for k in (1, 2, 3)], axis=-1)
        gap = np.linalg.norm(site - scaled, axis=-1)
        closer = gap < nearest
        second = np.where(closer, nearest, np.minimum(second, gap))
        number = np.where(closer, _hash(cell, seed + 4), number)
        nearest = np.minimum(nearest, gap)
    return nearest, second, number
