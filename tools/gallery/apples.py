"""Apples and pears."""

import numpy as np
from tools.gallery.colour import over, ramp, step
from tools.gallery.noise import Array, fbm
from tools.gallery.parts import lenticels, stalk
from tools.gallery.surface import Mesh, Surface, join, lathe

ROUND = [
    (0, -0.34), (0.07, -0.38), (0.19, -0.43), (0.35, -0.36), (0.47, -0.14), (0.5, 0.08),
    (0.45, 0.28), (0.32, 0.41), (0.18, 0.42), (0.08, 0.35), (0, 0.26),
]  # fmt: skip
TALL = [
    (0, -0.36), (0.06, -0.42), (0.17, -0.47), (0.29, -0.42), (0.4, -0.2), (0.48, 0.1),
    (0.47, 0.3), (0.36, 0.44), (0.2, 0.46), (0.09, 0.38), (0, 0.28),
]  # fmt: skip


def _body(rng: np.random.Generator, knots: list[tuple[float, float]], lobes: float) -> Surface:
    """An apple's shape: faintly five-lobed, most so at the ends, never quite even."""
    body = lathe(knots)
    seed = int(rng.integers(1 << 30))
    ends = np.abs(body.along - 0.5) * 2
    body = body.widened(1 + lobes * (0.3 + ends) * np.cos(5 * body.around + rng.uniform(0, 6)))
    return body.pushed(0.03 * fbm(body.points, 1.3, seed, 2))


def _flecks(body: Surface, seed: int, stretch: float = 0.28) -> Array:
    """Streaks that run from stalk to calyx, about [-1, 1]."""
    ring = np.stack([np.cos(body.around), np.sin(body.around), body.along * stretch], axis=-1)
    return (fbm(ring, 8.0, seed, 3) + fbm(ring, 27.0, seed + 7, 3)) * 0.7


def _finish(rng: np.random.Generator, body: Surface, tint: Array, rough: float) -> Mesh:
    """The stalk cavity's russet, the calyx and the stalk."""
    seed = int(rng.integers(1 << 30))
    rays = fbm(np.stack([np.cos(body.around), np.sin(body.around), body.along], -1), 5.0, seed, 3)
    cavity = step(body.along + 0.025 * rays, 0.9, 0.97)
    tint = over(tint, "9a8a45", cavity * 0.75)
    tint = over(tint, "3a2c18", step(body.along, 0.035, 0.008))
    top = body.points[-1, 0]
    stem = stalk(rng, (top[0], top[1], top[2] - 0.02), 0.27, 0.024, ("5b3d20", "3d2813"))
    hollow = np.abs(body.along - 0.5) * 2
    return join(body.mesh(tint, rough + 0.35 * step(hollow, 0.7, 0.9)), stem)


def granny_smith(rng: np.random.Generator) -> Mesh:
    """Bright green, with pale lenticels and at times a faint pink cheek."""
    body = _body(rng, ROUND, 0.012)
    seed = int(rng.integers(1 << 30))
    mottle = fbm(body.points, 2.2, seed, 4)
    tint = ramp(0.5 + 0.4 * mottle, (0, "648f28"), (0.5, "7ba432"), (1, "98b84a"))
    cheek = step(body.points[..., 0] + 0.2 * mottle, 0.32, 0.6) * rng.uniform(0, 0.3)
    tint = over(tint, "c08a4a", cheek)
    tint = over(tint, "cfe19a", 0.5 * lenticels(body.points, 15.0, seed))
    return _finish(rng, body, tint, 0.26)


def golden_delicious(rng: np.random.Generator) -> Mesh:
    """Yellow to yellow-green with brown specks."""
    body = _body(rng, TALL, 0.022)
    seed = int(rng.integers(1 << 30))
    mottle = fbm(body.points, 1.6, seed, 4)
    ripe = rng.uniform(0.3, 0.8)
    tint = ramp(ripe + 0.35 * mottle, (0, "b4b048"), (0.5, "d0bc52"), (1, "e0bf58"))
    blush = step(body.points[..., 0] + 0.2 * mottle, 0.25, 0.6) * rng.uniform(0, 0.35)
    tint = over(tint, "e09a4e", blush)
    tint = over(tint, "8a6f35", 0.8 * lenticels(body.points, 12.0, seed))
    return _finish(rng, body, tint, 0.34)


def red_delicious(rng: np.random.Generator) -> Mesh:
    """Deep crimson, tall, with five marked feet."""
    body = _body(rng, TALL, 0.035)
    seed = int(rng.integers(1 << 30))
    streak = _flecks(body, seed)
    tint = ramp(0.5 + 0.45 * streak, (0, "4c0613"), (0.5, "7a0a1c"), (1, "9c1626"))
    tint = over(tint, "b4622f", 0.5 * step(body.along, 0.9, 0.97))
    tint = over(tint, "d9a08a", 0.35 * lenticels(body.points, 12.0, seed))
    return _finish(rng, body, tint, 0.22)


def royal_gala(rng: np.random.Generator) -> Mesh:
    """Red-orange streaks over yellow, paler towards the ends and on one side."""
    body = _body(rng, ROUND, 0.014)
    seed = int(rng.integers(1 << 30))
    mottle = fbm(body.points, 1.4, seed, 3)
    streak = _flecks(body, seed, 0.2)
    base = ramp(0.5 + 0.5 * mottle, (0, "d6b64e"), (1, "e9cf74"))
    sun = 0.62 + 0.75 * body.points[..., 0] + 0.35 * mottle - 0.35 * np.abs(body.along - 0.55)
    red = ramp(0.5 + 0.5 * streak, (0, "a8201f"), (0.6, "c23a2a"), (1, "d65f38"))
    tint = over(base, red, step(sun + 0.45 * streak, -0.1, 0.75) * 0.95)
    tint = over(tint, "f0d9a0", 0.35 * lenticels(body.points, 14.0, seed))
    return _finish(rng, body, tint, 0.27)


def _pear(rng: np.random.Generator, knots: list[tuple[float, float]], lean: float) -> Surface:
    """A pear's shape, its neck leaning a little."""
    body = lathe(knots, rows=200)
    seed = int(rng.integers(1 << 30))
    aside = rng.uniform(-lean, lean)
    body = body.moved(lambda z: (aside * np.clip(z + 0.1, 0, 2) ** 2, 0 * z))
    return body.pushed(0.035 * fbm(body.points, 1.6, seed, 2))


def conference(rng: np.random.Generator) -> Mesh:
    """A long, slender green pear, russeted brown in patches, mostly at the calyx end."""
    knots = [
        (0, -0.86), (0.1, -0.88), (0.24, -0.82), (0.37, -0.6), (0.41, -0.35), (0.36, -0.05),
        (0.26, 0.25), (0.2, 0.5), (0.16, 0.68), (0.09, 0.76), (0, 0.78),
    ]  # fmt: skip
    body = _pear(rng, knots, 0.22)
    seed = int(rng.integers(1 << 30))
    mottle = fbm(body.points, 2.0, seed, 4)
    tint = ramp(0.5 + 0.5 * mottle, (0, "7d8a35"), (0.5, "959c45"), (1, "a9a850"))
    fine = fbm(body.points, 9.0, seed + 5, 4)
    russet = step(0.62 - body.along + 0.55 * mottle + 0.35 * fine, 0.0, 0.6)
    tint = over(tint, "7d5524", 0.9 * russet)
    tint = over(tint, "6d5228", 0.7 * lenticels(body.points, 15.0, seed))
    tint = over(tint, "2f2415", step(body.along, 0.03, 0.008))
    top = body.points[-1, 0]
    stem = stalk(rng, (top[0], top[1], top[2] - 0.03), 0.36, 0.026, ("6b4a26", "3d2813"))
    return join(body.mesh(tint, 0.45 + 0.15 * russet), stem)
