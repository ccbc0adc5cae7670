"""Stone fruit, and other fruit with soft, coloured skins."""

import numpy as np
from tools.gallery.colour import over, ramp, step
from tools.gallery.noise import Array, cells, fbm
from tools.gallery.parts import face_of, halved, lenticels, stalk
from tools.gallery.surface import Mesh, Surface, join, lathe

DRUPE = [
    (0, -0.44), (0.08, -0.45), (0.26, -0.4), (0.43, -0.22), (0.49, 0.02), (0.44, 0.26),
    (0.29, 0.41), (0.15, 0.44), (0.06, 0.38), (0, 0.32),
]  # fmt: skip


def _seamed(rng: np.random.Generator, knots: list[tuple[float, float]], depth: float) -> Surface:
    """A body with the seam of a stone fruit down one side."""
    body = lathe(knots)
    gap = np.abs(np.angle(np.exp(1j * (body.around - 1.2))))
    body = body.widened(1 - depth * np.exp(-((gap / 0.2) ** 2)) * step(body.along, 0.03, 0.2))
    return body.pushed(0.025 * fbm(body.points, 1.4, int(rng.integers(1 << 30)), 2))


def _blush(rng: np.random.Generator, body: Surface) -> tuple[Array, Array]:
    """How much sun each place has had (0 to 1), and fine mottling (-1 to 1)."""
    seed = int(rng.integers(1 << 30))
    broad = fbm(body.points, 1.3, seed, 3)
    fine = fbm(body.points, 9.0, seed + 3, 4)
    way = rng.uniform(0, 6.28)
    side = np.cos(way) * body.points[..., 0] + np.sin(way) * body.points[..., 1]
    return step(0.5 + side + 0.5 * broad + 0.22 * fine, 0.1, 0.95), fine


def peach(rng: np.random.Generator) -> Mesh:
    """A downy peach: yellow, mottled with red."""
    body = _seamed(rng, DRUPE, 0.05)
    sun, fine = _blush(rng, body)
    tint = ramp(0.5 + 0.4 * fine, (0, "e0a04a"), (1, "efbc68"))
    red = ramp(0.5 + 0.5 * fine, (0, "a02a2c"), (1, "cc5238"))
    tint = over(tint, red, np.sqrt(sun) * 0.92)
    tint = over(tint, "c9a24a", 0.8 * step(body.along, 0.9, 0.97))
    tint = over(tint, "4a2f18", step(body.along, 0.985, 0.995))
    return body.mesh(tint, 0.72)


def plum(rng: np.random.Generator) -> Mesh:
    """A dark plum with a whitish bloom rubbed off in places."""
    knots = [(r * 0.93, z * 1.12) for r, z in DRUPE]
    body = _seamed(rng, knots, 0.045)
    sun, fine = _blush(rng, body)
    tint = ramp(0.5 + 0.5 * fine, (0, "2a0d2c"), (1, "4a1238"))
    tint = over(tint, "7a1a38", 0.6 * step(sun, 0.6, 1.0))
    seed = int(rng.integers(1 << 30))
    bloom = step(fbm(body.points, 2.2, seed, 4) + 0.3 * fine, -0.35, 0.7)
    tint = over(tint, "8d8fb8", 0.42 * bloom)
    hollow = step(body.along, 0.84, 0.93)
    stem = stalk(rng, (0.0, 0.0, 0.34), 0.25, 0.018, ("6b5a2a", "4a3a1c"))
    return join(body.mesh(tint, 0.28 + 0.35 * bloom + 0.4 * hollow), stem)


def mango(rng: np.random.Generator) -> Mesh:
    """A mango: a leaning, flattened egg, green and yellow with a red cheek."""
    knots = [
        (0, -0.68), (0.1, -0.67), (0.28, -0.56), (0.42, -0.28), (0.47, 0.05), (0.42, 0.36),
        (0.28, 0.57), (0.12, 0.65), (0.04, 0.64), (0, 0.62),
    ]  # fmt: skip
    body = lathe(knots)
    body = body.moved(lambda z: (0.18 * z * np.abs(z) - 0.12 * (0.4 - z**2), 0 * z))
    body.points[..., 1] *= 0.86
    body = body.pushed(0.02 * fbm(body.points, 1.5, int(rng.integers(1 << 30)), 2))
    sun, fine = _blush(rng, body)
    broad = fbm(body.points, 1.2, int(rng.integers(1 << 30)), 3)
    tint = ramp(0.5 + 0.6 * broad + 0.1 * fine, (0, "5f8a2c"), (0.5, "a8a83a"), (1, "e0a832"))
    red = ramp(0.5 + 0.5 * fine, (0, "a82a26"), (1, "cc4c2c"))
    tint = over(tint, red, step(sun, 0.05, 0.85) * 0.92)
    tint = over(tint, "f0d890", 0.5 * lenticels(body.points, 17.0, 9))
    tint = over(tint, "3d2b18", step(body.along, 0.985, 0.993))
    return body.mesh(tint, 0.3)


def pomegranate(rng: np.random.Generator) -> Mesh:
    """A pomegranate: leathery red, faintly angular, with its crown."""
    knots = [
        (0, -0.43), (0.1, -0.45), (0.3, -0.4), (0.46, -0.2), (0.5, 0.02), (0.43, 0.24),
        (0.25, 0.38), (0.14, 0.43), (0.12, 0.5), (0.16, 0.6), (0.19, 0.66), (0.15, 0.58),
        (0.09, 0.5), (0, 0.48),
    ]  # fmt: skip
    body = lathe(knots, rows=220)
    teeth = step(body.along, 0.62, 0.82) * step(body.along, 0.99, 0.84)
    body = body.widened(1 + 0.025 * np.cos(6 * body.around) * (1 - teeth))
    body.points[..., 2] += 0.1 * teeth * np.cos(6 * body.around)
    body = body.pushed(0.025 * fbm(body.points, 1.7, int(rng.integers(1 << 30)), 2) * (1 - teeth))
    sun, fine = _blush(rng, body)
    tint = ramp(0.5 + 0.5 * fine, (0, "a81f2a"), (1, "c4343a"))
    tint = over(tint, "d88a52", 0.7 * step(sun, 0.5, 0.0))
    tint = over(tint, "7a4a28", 0.7 * step(fine, 0.55, 0.9))
    tint = over(tint, "b5603a", 0.6 * teeth)
    tint = over(tint, "5a3820", step(body.along, 0.86, 0.92))
    return body.mesh(tint, 0.36)


def passion_fruit(rng: np.random.Generator) -> Mesh:
    """A wrinkled purple passion fruit."""
    body = lathe([(r, z * 1.08) for r, z in DRUPE[:8]] + [(0.05, 0.47), (0, 0.465)])
    seed = int(rng.integers(1 << 30))
    dents = -np.abs(fbm(body.points, 3.4, seed, 3))
    body = body.pushed(0.04 * dents)
    sun, fine = _blush(rng, body)
    tint = ramp(0.5 + 0.5 * fine, (0, "2c1524"), (1, "4f2438"))
    tint = over(tint, "7a4a3c", 0.5 * step(sun, 0.6, 1.0))
    tint = over(tint, "b08a7a", 0.35 * lenticels(body.points, 17.0, seed))
    return body.mesh(tint, 0.38)


def passion_half(rng: np.random.Generator) -> Mesh:
    """Half a passion fruit: white pith, yellow pulp, black seeds."""
    body = halved([(0, -0.46), (0.25, -0.42), (0.43, -0.22), (0.48, 0)])
    face, out = face_of(body)
    pulp = step(out, 0.82, 0.76) * face
    near, _, _ = cells(body.points * np.array([1, 1, 0]), 9.0, int(rng.integers(1 << 30)))
    seeds = step(near, 0.42, 0.3)
    tint = ramp(out, (0, "e09a14"), (0.7, "d88a10"), (0.85, "efe0d8"), (0.94, "d8a0a8"))
    tint = over(tint, "120c08", pulp * seeds)
    tint = over(tint, "3a1a2c", np.maximum(1 - face, step(out, 0.95, 0.97)))
    body = body.pushed(pulp * (0.04 * seeds - 0.05))
    return body.mesh(tint, np.where(pulp > 0, 0.12, 0.4))
