"""Colours as linear RGB arrays, and the few ways to lay one over another."""

import numpy as np
from tools.gallery.noise import Array


def paint(code: str) -> Array:
    """The linear RGB of an `rrggbb` sRGB code."""
    levels = np.array([int(code[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def over(below: Array, above: Array | str, weight: Array) -> Array:
    """`above` laid over `below`, as opaque as `weight` (0 to 1) says."""
    top = paint(above) if isinstance(above, str) else above
    share = np.clip(weight, 0, 1)[..., None]
    return np.asarray(below * (1 - share) + top * share)


def ramp(position: Array, *stops: tuple[float, str]) -> Array:
    """The colour at `position` between (place, code) stops in rising order."""
    places = [place for place, _ in stops]
    paints = np.stack([paint(code) for _, code in stops])
    return np.stack([np.interp(position, places, paints[:, k]) for k in range(3)], axis=-1)


def step(position: Array, low: Array | float, high: Array | float) -> Array:
    """0 below `low`, 1 above `high`, smooth between (the other way round if low > high)."""
    part = np.clip((position - low) / (high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part))
