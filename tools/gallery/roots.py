"""Roots, tubers and bulbs."""

import numpy as np
from tools.gallery.colour import over, ramp, step
from tools.gallery.noise import cells, fbm
from tools.gallery.parts import lenticels
from tools.gallery.surface import Mesh, join, lathe, tube


def carrot(rng: np.random.Generator) -> Mesh:
    """A tapering carrot with rings, and the stumps of its leaves."""
    knots = [
        (0, -1.75), (0.02, -1.7), (0.05, -1.45), (0.13, -0.9), (0.2, -0.2), (0.25, 0.5),
        (0.28, 0.95), (0.25, 1.1), (0.12, 1.15), (0, 1.13),
    ]  # fmt: skip
    body = lathe(knots, rows=320, columns=90)
    seed = int(rng.integers(1 << 30))
    wander = rng.uniform(-0.06, 0.06, 4)
    body = body.moved(
        lambda z: (wander[0] * np.sin(2 * z) + wander[1] * z**2, wander[2] * np.sin(1.6 * z + 2))
    )
    rings = fbm(body.points * np.array([1.6, 1.6, 22]), 1.0, seed, 3)
    body = body.pushed(0.02 * fbm(body.points, 2.4, seed + 3, 3) - 0.014 * step(rings, 0.25, 0.8))
    tone = 0.5 + 0.4 * fbm(body.points, 2.0, seed + 1, 3) - 0.25 * step(rings, 0.2, 0.8)
    tint = ramp(tone, (0, "c45410"), (0.5, "e2701a"), (1, "ec8a34"))
    tint = over(tint, "7a6a2c", 0.8 * step(body.along, 0.955, 0.99))
    greens = []
    for _ in range(7):
        lean = rng.uniform(-0.22, 0.22, 2)
        root = rng.uniform(-0.06, 0.06, 2)
        long = rng.uniform(0.6, 1.1)
        stem = tube(
            [(*root, 1.08), (*(root + lean * 0.5), 1.1 + long / 2), (*(root + lean), 1.1 + long)],
            (0.035, 0.028, 0.024, 0.02),
        )
        greens.append(stem.mesh(ramp(stem.along, (0, "8a9a44"), (1, "4f8a2c")), 0.6))
    return join(body.mesh(tint, 0.42), *greens)


def potato(rng: np.random.Generator) -> Mesh:
    """A smooth yellow-brown potato with shallow eyes."""
    long = rng.uniform(0.52, 0.68)
    body = lathe([(0, -long), (0.18, -0.93 * long), (0.42, -0.45 * long), (0.48, 0.05),
                  (0.4, 0.55 * long), (0.2, 0.93 * long), (0, long)])  # fmt: skip
    body.points[..., 1] *= rng.uniform(0.78, 0.95)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.14 * fbm(body.points, 1.1, seed, 2))
    near, _, number = cells(body.points, 2.1, seed + 2)
    eye = step(near, 0.2, 0.06) * (number > 0.45)
    body = body.pushed(-0.035 * eye)
    mottle = fbm(body.points, 3.2, seed + 1, 5)
    tint = ramp(0.5 + 0.5 * mottle, (0, "a8803e"), (0.5, "c09a52"), (1, "d2b06a"))
    tint = over(tint, "7d5a2c", 0.6 * eye)
    tint = over(tint, "6e4d28", 0.6 * step(fbm(body.points, 9.0, seed + 7, 3), 0.45, 0.8))
    tint = over(tint, "8a673a", 0.5 * lenticels(body.points, 11.0, seed))
    return body.mesh(tint, 0.62)


def sweet_potato(rng: np.random.Generator) -> Mesh:
    """A spindle with a copper-pink skin and a few scars."""
    knots = [
        (0, -1.2), (0.06, -1.14), (0.15, -0.95), (0.36, -0.5), (0.45, 0.0), (0.38, 0.5),
        (0.2, 0.95), (0.09, 1.12), (0, 1.16),
    ]  # fmt: skip
    body = lathe(knots, rows=240)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.16 * fbm(body.points, 1.0, seed, 3))
    dents = fbm(body.points * np.array([1, 1, 6]), 1.5, seed + 2, 2)
    body = body.pushed(-0.025 * step(dents, 0.4, 0.8)).bent(rng.uniform(1.8, 6))
    mottle = fbm(body.points, 2.6, seed + 1, 5)
    tint = ramp(0.5 + 0.5 * mottle, (0, "6a3230"), (0.5, "8a463c"), (1, "a4604c"))
    tint = over(tint, "6a3428", 0.7 * step(dents, 0.4, 0.75))
    tint = over(tint, "c9a07c", 0.5 * step(fbm(body.points, 6.0, seed + 5, 3), 0.5, 0.85))
    return body.mesh(tint, 0.6)


def beet(rng: np.random.Generator) -> Mesh:
    """A dark red beet with its tail and the stumps of its leaves."""
    knots = [
        (0, -0.95), (0.02, -0.9), (0.05, -0.68), (0.14, -0.5), (0.36, -0.34), (0.49, -0.05),
        (0.45, 0.22), (0.3, 0.38), (0.16, 0.43), (0, 0.44),
    ]  # fmt: skip
    body = lathe(knots, rows=200)
    seed = int(rng.integers(1 << 30))
    body = body.moved(lambda z: (0.5 * np.clip(-0.5 - z, 0, 1), 0 * z))
    body = body.pushed(0.06 * fbm(body.points, 1.5, seed, 3))
    mottle = fbm(body.points, 3.0, seed + 1, 5)
    tint = ramp(0.5 + 0.5 * mottle, (0, "3a1020"), (0.5, "561a30"), (1, "702c40"))
    rings = fbm(body.points * np.array([1.5, 1.5, 12]), 1.0, seed + 4, 3)
    tint = over(tint, "7d5a4c", 0.55 * step(rings, 0.3, 0.8))
    tint = over(tint, "6a4438", 0.6 * step(body.along, 0.88, 0.97))
    stems = []
    for _ in range(6):
        lean, root = rng.uniform(-0.16, 0.16, 2), rng.uniform(-0.07, 0.07, 2)
        stem = tube([(*root, 0.4), (*(root + lean * 0.4), 0.55), (*(root + lean), 0.72)],
                    (0.05, 0.045, 0.04, 0.035))  # fmt: skip
        stems.append(stem.mesh(ramp(stem.along, (0, "8a1a44"), (1, "a83a5c")), 0.5))
    return join(body.mesh(tint, 0.5), *stems)


def onion(rng: np.random.Generator) -> Mesh:
    """A golden-brown onion: papery, lined from neck to root."""
    knots = [
        (0, -0.46), (0.07, -0.45), (0.26, -0.4), (0.45, -0.2), (0.5, 0.02), (0.42, 0.24),
        (0.25, 0.4), (0.11, 0.52), (0.07, 0.66), (0.08, 0.78), (0, 0.8),
    ]  # fmt: skip
    body = lathe(knots, rows=220, columns=260)
    seed = int(rng.integers(1 << 30))
    neck = step(body.along, 0.76, 0.9)
    body = body.widened(1 + 0.25 * neck * fbm(body.points * np.array([3, 3, 1]), 6.0, seed, 3))
    body = body.pushed(0.035 * fbm(body.points, 1.3, seed, 2))
    ring = np.stack([np.cos(body.around), np.sin(body.around), body.along * 0.3], axis=-1)
    lines = fbm(ring, 16.0, seed + 1, 3)
    broad = fbm(body.points, 1.6, seed + 2, 3)
    tone = 0.5 + 0.3 * broad + 0.22 * lines
    tint = ramp(tone, (0, "8f4716"), (0.5, "b96f28"), (1, "d2924a"))
    tint = over(tint, "8a4416", 0.7 * step(lines, 0.35, 0.6))
    peeled = step(fbm(ring, 1.4, seed + 5, 2) + 0.2 * broad, 0.35, 0.4)
    tint = over(tint, "d9a560", 0.5 * peeled)
    tint = over(tint, "b98a50", 0.7 * neck)
    tint = over(tint, "8a7050", step(body.along, 0.05, 0.02))
    return body.pushed(-0.008 * peeled).mesh(tint, 0.3 + 0.25 * neck)


def garlic(rng: np.random.Generator) -> Mesh:
    """A white bulb: the cloves swell under papery skin with violet lines."""
    knots = [
        (0, -0.3), (0.09, -0.31), (0.14, -0.35), (0.3, -0.36), (0.47, -0.2), (0.5, -0.02),
        (0.4, 0.18), (0.22, 0.34), (0.11, 0.5), (0.09, 0.68), (0.1, 0.8), (0, 0.81),
    ]  # fmt: skip
    body = lathe(knots, rows=220, columns=300)
    seed = int(rng.integers(1 << 30))
    cloves = int(rng.integers(8, 11))
    uneven = 0.35 * np.sin(2 * body.around + rng.uniform(0, 6))
    furrow = (0.5 + 0.5 * np.cos(cloves * body.around + uneven)) ** 2.5
    middle = step(body.along, 0.1, 0.3) * step(body.along, 0.78, 0.6)
    body = body.widened(1 - 0.12 * furrow * middle)
    ring = np.stack([np.cos(body.around), np.sin(body.around), body.along * 0.25], axis=-1)
    lines = fbm(ring, 14.0, seed + 1, 3)
    body = body.pushed(0.03 * fbm(body.points, 1.6, seed, 2) + 0.008 * lines)
    tint = ramp(0.5 + 0.5 * lines, (0, "d9cdbb"), (0.5, "ece4d6"), (1, "f4efe6"))
    violet = step(lines + 0.6 * fbm(body.points, 1.8, seed + 3, 3), 0.35, 0.9) * middle
    tint = over(tint, "9a6a8a", 0.55 * violet)
    tint = over(tint, "c9b08a", 0.6 * step(body.along, 0.8, 0.98))
    tint = over(tint, "8f7448", step(body.along, 0.12, 0.07))
    return body.mesh(tint, 0.5)
