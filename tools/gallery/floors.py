"""What the groceries lie on: the bottom of a crate, a wooden table."""

from collections.abc import Callable

import numpy as np
from tools.gallery.colour import over, paint, ramp, step
from tools.gallery.noise import Array, fbm
from tools.gallery.stage import Finish
from tools.gallery.surface import Mesh, Quads


def _sheet(side: float, count: int) -> tuple[Array, Quads]:
    """A level square of points about the origin, and its faces."""
    line = np.linspace(-side / 2, side / 2, count)
    x, y = np.meshgrid(line, line)
    points = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    index = np.arange(count * count).reshape(count, count)
    corners = (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    return points, np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32)


def wood(rng: np.random.Generator) -> Mesh:
    """A table of oak planks that run from left to right."""
    points, quads = _sheet(16.0, 560)
    seed = int(rng.integers(1 << 30))
    plank = np.floor(points[:, 1] / 1.7 + 0.37)
    edge = np.abs((points[:, 1] / 1.7 + 0.37) - plank - 0.5)
    shifted = points + plank[:, None] * np.array([7.3, 3.1, 5.7])
    grain = fbm(shifted * np.array([0.35, 5.0, 1.0]), 1.0, seed, 5)
    fine = fbm(shifted * np.array([1.2, 30.0, 1.0]), 1.0, seed + 9, 3)
    tone = 0.5 + 0.32 * grain + 0.16 * fine + 0.25 * np.sin(plank * 2.4)
    tint = ramp(np.clip(tone, 0, 1), (0, "6b4526"), (0.5, "a97a4a"), (1, "c99a66"))
    gap = step(edge, 0.478, 0.492)
    points[:, 2] = -0.05 * gap + 0.004 * grain
    return Mesh(points, quads, over(tint, "2a190d", gap * 0.85), 0.42 + 0.15 * fine)


def crate(rng: np.random.Generator) -> Mesh:
    """The dark green bottom of a plastic crate, of which little shows."""
    points, quads = _sheet(24.0, 200)
    speck = fbm(points, 2.0, int(rng.integers(1 << 30)), 3)
    tint = over(np.broadcast_to(paint("1d2b20"), points.shape), "2c3a2c", 0.5 + 0.5 * speck)
    return Mesh(points, quads, tint, np.full(len(points), 0.6))


FLOORS: dict[str, tuple[Callable[[np.random.Generator], Mesh], Finish]] = {
    "crate": (crate, Finish()),
    "wood": (wood, Finish()),
}
