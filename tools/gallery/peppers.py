"""Bell peppers, tomatoes and aubergines."""

import numpy as np
from tools.gallery.colour import over, ramp, step
from tools.gallery.noise import Array, fbm
from tools.gallery.parts import calyx
from tools.gallery.stage import Maker
from tools.gallery.surface import Mesh, Surface, join, lathe, tube, turn

BLOCK = [
    (0, -0.4), (0.08, -0.47), (0.2, -0.53), (0.33, -0.48), (0.41, -0.3), (0.46, 0.0),
    (0.5, 0.25), (0.46, 0.42), (0.33, 0.51), (0.2, 0.49), (0.1, 0.4), (0, 0.36),
]  # fmt: skip
TOMATO = [
    (0, -0.4), (0.1, -0.405), (0.28, -0.35), (0.44, -0.2), (0.5, 0.0), (0.45, 0.22),
    (0.3, 0.36), (0.15, 0.4), (0.06, 0.37), (0, 0.34),
]  # fmt: skip


def _furrows(body: Surface, count: int, sharp: float, start: Array | float) -> Array:
    """1 in each of `count` furrows from end to end, 0 on the lobes between them."""
    return np.asarray(((1 + np.cos(count * (body.around - start))) / 2) ** sharp)


def _pepper(rng: np.random.Generator, tones: tuple[str, str, str], stem: tuple[str, str]) -> Mesh:
    """A pepper with three or four lobes, its shoulders round a thick stalk."""
    body = lathe(BLOCK, rows=180, columns=220)
    lobes = 4 if rng.random() < 0.65 else 3
    start = rng.uniform(0, 6)
    wave = 0.25 * np.sin(body.around + rng.uniform(0, 6))
    furrow = _furrows(body, lobes, 2.2, start + wave)
    ends = 0.45 + 0.55 * np.abs(2 * body.along - 1) ** 1.5
    body = body.widened((1 - 0.26 * furrow * ends) * rng.uniform(0.93, 1.07))
    seed = int(rng.integers(1 << 30))
    tall = rng.uniform(0.9, 1.12)
    body.points[..., 2] *= tall
    body = body.pushed(0.055 * fbm(body.points, 1.5, seed, 2))
    mottle = fbm(body.points, 1.4, seed + 1, 3)
    tint = ramp(0.5 + 0.45 * mottle, (0, tones[0]), (0.5, tones[1]), (1, tones[2]))
    x, y, z = body.points[-1, 0]
    bow = rng.uniform(-0.12, 0.12, 2)
    knots = [(x, y, z - 0.05), (x, y, z + 0.1), (x + bow[0], y + bow[1], z + 0.3)]
    stick = tube(knots, (0.17, 0.13, 0.075, 0.065, 0.07, 0.085, 0.08), rows=50, columns=40)
    green = ramp(stick.along, (0, stem[0]), (0.93, stem[1]), (1, "a0a86a"))
    return join(body.mesh(tint, 0.2), stick.mesh(green, 0.5))


def pepper(tones: tuple[str, str, str], stem: tuple[str, str] = ("5a8a2c", "4a7a26")) -> Maker:
    """A maker of peppers in the given tones."""
    return lambda rng: _pepper(rng, tones, stem)


def tomato(rng: np.random.Generator) -> Mesh:
    """A round red tomato with its green star."""
    return _tomato(rng, 0.012, 5, ("b8160c", "cc2210", "d83a18"), True)


def _tomato(
    rng: np.random.Generator, ribs: float, count: int, tones: tuple[str, str, str], star: bool
) -> Mesh:
    """A tomato with `count` ribs, with or without the star and its stub of stalk."""
    body = lathe(TOMATO)
    furrow = _furrows(body, count, 1.5, rng.uniform(0, 6))
    body = body.widened(1 - ribs * furrow * step(body.along, 0.25, 0.85))
    seed = int(rng.integers(1 << 30))
    body.points[..., 2] *= 1 - 1.5 * ribs
    body = body.pushed(0.03 * fbm(body.points, 1.2, seed, 2))
    ripe = 0.5 + 0.4 * fbm(body.points, 1.3, seed + 1, 3)
    tint = ramp(ripe, (0, tones[0]), (0.5, tones[1]), (1, tones[2]))
    tint = over(tint, "d8702a", 0.45 * step(body.along, 0.88, 0.97))
    mesh = body.mesh(tint, 0.2)
    if not star:
        return mesh
    x, y, z = body.points[-1, 0]
    stub = tube(
        [(x, y, z - 0.02), (x, y, z + 0.08), (x + 0.04, y, z + 0.17)], (0.03, 0.025, 0.03, 0.025)
    )
    green = stub.mesh(ramp(stub.along, (0, "4a7a2a"), (1, "7a9a4a")), 0.6)
    return join(mesh, calyx(rng, (x, y, z + 0.04), 0.33, 5, 0.03), green)


def vine(rng: np.random.Generator) -> Mesh:
    """A truss: tomatoes to the left and right of a green stem, and one at its end."""
    fruit, greens = [], []
    spots = [(-0.5, -1.0), (0.52, -0.72), (-0.52, 0.08), (0.5, 0.32), (-0.12, 1.05)]
    for x, y in spots:
        place = np.array([x, y, 0]) + rng.uniform(-0.04, 0.04, 3)
        lean = turn("y", -50 * np.sign(x) * min(1, abs(x) * 2)) @ turn("x", 25 + rng.uniform(-9, 9))
        one = _tomato(rng, 0.012, 5, ("b8160c", "cc2210", "d83a18"), False)
        fruit.append(one.moved(place, lean, rng.uniform(0.92, 1.04)))
        top = place + lean @ np.array([0, 0, 0.36])
        green = calyx(rng, (0, 0, 0.4), 0.33, 5, 0.02).moved(place, lean)
        joint = np.array([0.05 * np.sign(x), y - 0.3, 0.62])
        arm = tube([top, (top + joint) / 2 + [0, 0, 0.07], joint], (0.028, 0.03, 0.035, 0.035))
        greens += [green, arm.mesh(ramp(arm.along, (0, "4f8030"), (1, "6a9440")), 0.55)]
    stem = tube(
        [(0.05, -1.55, 0.6), (-0.03, -0.9, 0.66), (0.04, -0.2, 0.62), (0, 0.75, 0.6)],
        (0.06, 0.05, 0.045, 0.035),
    )
    greens.append(stem.mesh(ramp(stem.along, (0, "6a9040"), (1, "4f8030")), 0.55))
    core = join(*fruit)
    return join(Mesh(core.points, core.quads, core.tint, core.rough), *greens)


def aubergine(rng: np.random.Generator) -> Mesh:
    """A glossy, nearly black aubergine under its green cap."""
    knots = [
        (0, -1.0), (0.14, -0.99), (0.34, -0.88), (0.46, -0.6), (0.45, -0.25), (0.35, 0.2),
        (0.27, 0.6), (0.24, 0.85), (0.14, 0.97), (0, 0.99),
    ]  # fmt: skip
    body = lathe(knots, rows=180)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.03 * fbm(body.points, 1.0, seed, 2)).bent(rng.uniform(2.6, 6))
    mottle = 0.5 + 0.5 * fbm(body.points, 1.2, seed + 1, 3)
    tint = ramp(mottle, (0, "1a0a20"), (1, "34123c"))
    cap = lathe([(0.27, 0.58), (0.285, 0.66), (0.27, 0.85), (0.17, 0.99), (0.08, 1.04), (0, 1.05)])
    teeth = step(cap.along, 0.5, 0.0) * (0.5 + 0.5 * np.cos(5 * cap.around))
    cap.points[..., 2] += 0.3 * (teeth - 0.35 * step(cap.along, 0.5, 0.0))
    cap = cap.pushed(0.025 + 0.02 * fbm(cap.points, 5.0, seed, 2)).bent(_radius(body))
    green = ramp(cap.along, (0, "5a7a38"), (0.7, "4a6a2c"), (1, "56783a"))
    stem = tube([(0, 0, 1.0), (0.0, 0, 1.2), (0.05, 0, 1.42)], (0.09, 0.075, 0.075, 0.085))
    wood = stem.bent(_radius(body)).mesh(ramp(stem.along, (0, "4f6e30"), (1, "7a8a4c")), 0.6)
    return join(body.mesh(tint, 0.13), cap.mesh(green, 0.6), wood)


def _radius(body: Surface) -> float:
    """The radius that a bent body's axis follows, from where its upper end has gone."""
    x, _, z = body.points[-1, 0]
    return float((x * x + z * z) / (2 * x))
