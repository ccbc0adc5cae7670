"""Long green vegetables, and mushrooms."""

import numpy as np
from tools.gallery.colour import over, ramp, step
from tools.gallery.noise import cells, fbm
from tools.gallery.parts import lenticels, ribbon
from tools.gallery.surface import Mesh, join, lathe, tube


def cucumber(rng: np.random.Generator) -> Mesh:
    """A long, dark cucumber with faint pale stripes towards its tip."""
    knots = [
        (0, -1.85), (0.1, -1.84), (0.22, -1.75), (0.28, -1.5), (0.3, -0.6), (0.3, 0.6),
        (0.28, 1.4), (0.2, 1.75), (0.1, 1.86), (0, 1.87),
    ]  # fmt: skip
    body = lathe(knots, rows=320, columns=120)
    seed = int(rng.integers(1 << 30))
    ridges = np.cos(9 * body.around + 0.5 * fbm(body.points, 0.8, seed, 2))
    near, _, number = cells(body.points * np.array([1, 1, 0.8]), 5.0, seed + 3)
    warts = step(near, 0.16, 0.04) * (number > 0.5)
    body = body.pushed(0.02 * fbm(body.points, 1.0, seed, 3) + 0.006 * ridges + 0.02 * warts)
    tone = 0.5 + 0.4 * fbm(body.points, 2.2, seed + 1, 4)
    tint = ramp(tone, (0, "16361a"), (0.5, "1f4a1f"), (1, "2f6428"))
    stripe = step(ridges, 0.35, 0.9) * (0.25 + 0.75 * step(body.along, 0.5, 0.05))
    fleck = fbm(body.points * np.array([3, 3, 1]), 4.0, seed + 2, 3)
    tint = over(tint, "7f9a4c", 0.55 * stripe * step(fleck, -0.3, 0.5))
    tint = over(tint, "a8b06a", 0.7 * np.maximum(warts, step(body.along, 0.025, 0.0)))
    return body.bent(rng.uniform(9, 30)).mesh(tint, 0.3)


def zucchini(rng: np.random.Generator) -> Mesh:
    """A flecked green courgette with a pale, angular stalk."""
    knots = [
        (0, -1.4), (0.12, -1.39), (0.25, -1.28), (0.32, -0.95), (0.31, -0.2), (0.27, 0.7),
        (0.23, 1.15), (0.2, 1.3), (0, 1.32),
    ]  # fmt: skip
    body = lathe(knots, rows=300, columns=140)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.025 * fbm(body.points, 1.0, seed, 2) + 0.006 * np.cos(8 * body.around))
    tone = 0.5 + 0.4 * fbm(body.points, 1.6, seed + 1, 3) + 0.12 * np.cos(8 * body.around)
    tint = ramp(tone, (0, "234f1c"), (0.5, "356a26"), (1, "508434"))
    tint = over(tint, "a9c274", 0.8 * lenticels(body.points * np.array([1, 1, 0.7]), 15.0, seed))
    tint = over(tint, "a9c274", 0.5 * lenticels(body.points * np.array([1, 1, 0.7]), 24.0, seed))
    stem = lathe([(0.24, 1.22), (0.2, 1.32), (0.13, 1.45), (0.12, 1.7), (0.13, 1.82), (0, 1.83)])
    stem = stem.widened(1 + 0.14 * np.cos(5 * stem.around))
    green = ramp(stem.along, (0, "5f8a3a"), (0.3, "86a352"), (0.85, "97b060"), (1, "c0c48a"))
    bow = rng.uniform(6, 20)
    tip = over(tint, "b89a5a", 0.8 * step(body.along, 0.03, 0.01))
    return join(body.bent(bow).mesh(tip, 0.33), stem.bent(bow).mesh(green, 0.55))


def asparagus(rng: np.random.Generator) -> Mesh:
    """A green spear: a tight purple-green tip, scales down the stem, a pale foot."""
    knots = [
        (0, -2.6), (0.1, -2.59), (0.13, -2.5), (0.135, 0), (0.125, 1.5), (0.14, 1.9),
        (0.12, 2.25), (0.05, 2.55), (0, 2.62),
    ]  # fmt: skip
    body = lathe(knots, rows=300, columns=48)
    seed = int(rng.integers(1 << 30))
    tone = 0.5 + 0.5 * fbm(body.points * np.array([4, 4, 1]), 2.0, seed, 4)
    tint = ramp(tone, (0, "5f8a35"), (1, "86ab50"))
    tint = over(tint, "d8d0a8", 0.85 * step(body.points[..., 2], -1.5, -2.4))
    tint = over(tint, "5a5a4a", 0.5 * step(body.points[..., 2], 1.6, 2.3))
    scales = [_scale(rng, level, number) for number, level in enumerate(_levels())]
    return join(body.pushed(0.01 * tone).mesh(tint, 0.42), *scales)


def _levels() -> list[float]:
    """Where the scales of a spear sit: far apart below, crowded at the tip."""
    return [-1.9, -1.3, -0.75, -0.2, 0.3, 0.75, 1.1, *np.linspace(1.35, 2.42, 26)]


def _scale(rng: np.random.Generator, level: float, number: int) -> Mesh:
    """One triangular scale that hugs the spear."""
    angle = number * 2.39996
    way = np.array([np.cos(angle), np.sin(angle), 0.0])
    radius = float(np.interp(level, [1.9, 2.25, 2.55], [0.135, 0.115, 0.04]))
    long = 0.34 if level < 1.3 else 0.3
    lift = rng.uniform(0.005, 0.03)
    knots = [
        way * (radius * share + lift * bow) + np.array([0, 0, level + long * part])
        for part, share, bow in ((0, 1.0, 0), (0.35, 1.05, 1), (0.75, 0.95, 1.2), (1, 0.8, 1))
    ]
    leaf = ribbon(knots, (0.08, 0.1, 0.085, 0.05, 0.004), up=tuple(way), fold=-0.45, rows=12)
    purple = step(np.array(level), 0.5, 1.8)
    tint = ramp(leaf.along, (0, "7a9a4c"), (0.4, "77944e"), (1, "6f7058"))
    return leaf.mesh(over(tint, "6a4f6a", 0.5 * purple * leaf.along), 0.5)


def leek(rng: np.random.Generator) -> Mesh:
    """A leek: white shaft with a beard of roots, leaves that fan out above."""
    knots = [
        (0, -2.1), (0.2, -2.08), (0.31, -1.95), (0.27, -1.7), (0.26, 0.0), (0.29, 0.6),
        (0.22, 1.0), (0, 1.05),
    ]  # fmt: skip
    body = lathe(knots, rows=260, columns=120)
    seed = int(rng.integers(1 << 30))
    ring = np.stack([np.cos(body.around), np.sin(body.around), body.along * 0.15], axis=-1)
    lines = fbm(ring, 13.0, seed, 3)
    level = body.points[..., 2] + 0.25 * lines
    tint = ramp(level, (-2.1, "e8e4d2"), (-0.9, "eff0de"), (-0.2, "cfdca4"), (0.6, "8fb060"))
    tint = over(tint, "c9d0a8", 0.5 * step(lines, 0.1, 0.6))
    parts = [body.pushed(0.006 * lines).mesh(tint, 0.35)]
    parts += [_leek_leaf(rng, number) for number in range(8)]
    for _ in range(22):
        angle, long = rng.uniform(0, 6.28), rng.uniform(0.2, 0.45)
        foot = np.array([np.cos(angle), np.sin(angle), 0]) * rng.uniform(0.05, 0.2)
        tip = foot * rng.uniform(1, 2.2) + np.array([0, 0, -2.05 - long])
        middle = foot * 1.1 + np.array([0, 0, -2.05 - 0.4 * long])
        hair = tube([foot + np.array([0, 0, -2.02]), middle, tip], (0.012, 0.012, 0.008), rows=12)
        parts.append(hair.mesh(ramp(hair.along, (0, "d8ceb0"), (1, "b8a880")), 0.7))
    return join(*parts)


def _leek_leaf(rng: np.random.Generator, number: int) -> Mesh:
    """One leaf, to the left or right as leeks have them, blue-green and folded."""
    aside = -1 if number % 2 else 1
    spread = aside * (0.12 + 0.09 * (7 - number)) * rng.uniform(0.8, 1.2)
    sway = rng.uniform(-0.12, 0.12)
    high = 2.1 + 0.08 * number + rng.uniform(-0.2, 0.2)
    knots = [
        (aside * 0.2, 0, 0.1), (aside * 0.17, 0, 0.7), (spread * 0.5, sway, 1.3),
        (spread, sway * 2, high),
    ]  # fmt: skip
    leaf = ribbon(knots, (0.24, 0.27, 0.24, 0.2, 0.12), up=(-aside, 0, 0), fold=0.55, rows=50)
    seed = int(rng.integers(1 << 30))
    lines = fbm(np.stack([leaf.around * 3, leaf.along * 0.6, 0 * leaf.along], -1), 4.0, seed, 3)
    tint = ramp(leaf.along, (0, "a3bf72"), (0.3, "6a9450"), (0.6, "456f48"), (1, "3a5f48"))
    return leaf.mesh(over(tint, "9ab58a", 0.4 * step(lines, 0, 0.6)), 0.45)


def mushroom(rng: np.random.Generator) -> Mesh:
    """A brown-capped mushroom: gills under the cap, a short white stem."""
    knots = [
        (0, -0.42), (0.15, -0.42), (0.18, -0.36), (0.15, -0.12), (0.17, -0.06), (0.34, -0.07),
        (0.44, -0.12), (0.49, -0.1), (0.51, 0.02), (0.45, 0.2), (0.3, 0.33), (0.12, 0.38),
        (0, 0.385),
    ]  # fmt: skip
    body = lathe(knots, rows=240, columns=260)
    seed = int(rng.integers(1 << 30))
    cap = step(body.along, 0.52, 0.56)
    gills = step(body.along, 0.27, 0.31) * step(body.along, 0.47, 0.44)
    ribs = 0.012 * gills * np.cos(65 * body.around)
    body = body.pushed(0.035 * fbm(body.points, 1.5, seed, 2) - ribs)
    fibre = fbm(body.points, 5.0, seed + 1, 5)
    brown = ramp(0.5 + 0.5 * fibre, (0, "7a5030"), (0.5, "9c6e46"), (1, "b88d62"))
    stem = ramp(0.5 + 0.5 * fibre, (0, "d2c2a8"), (1, "eae0cc"))
    tint = over(over(stem, "8a6448", 0.75 * gills), brown, cap)
    tint = over(tint, "8a6a48", step(body.along, 0.08, 0.05))
    return body.mesh(tint, 0.55)
