"""Citrus fruit, whole and halved."""

import numpy as np
from tools.gallery.colour import over, paint, ramp, step
from tools.gallery.noise import Array, fbm
from tools.gallery.parts import face_of, halved
from tools.gallery.surface import Mesh, Surface, join, lathe, tube

GLOBE = [
    (0, -0.47), (0.1, -0.475), (0.27, -0.4), (0.42, -0.24), (0.49, 0), (0.43, 0.25),
    (0.27, 0.41), (0.1, 0.47), (0.03, 0.455), (0, 0.45),
]  # fmt: skip
OVAL = [
    (0, -0.69), (0.05, -0.68), (0.1, -0.6), (0.24, -0.5), (0.4, -0.27), (0.45, 0), (0.4, 0.27),
    (0.25, 0.46), (0.12, 0.53), (0.07, 0.57), (0, 0.57),
]  # fmt: skip
SHORT = [
    (0, -0.55), (0.06, -0.54), (0.12, -0.49), (0.26, -0.4), (0.41, -0.2), (0.45, 0.02),
    (0.39, 0.25), (0.24, 0.42), (0.1, 0.49), (0.04, 0.5), (0, 0.49),
]  # fmt: skip


def _button(body: Surface, tones: tuple[str, str]) -> Mesh:
    """The little green star where the stalk was."""
    x, y, z = body.points[-1, 0]
    knots = [(x, y, z - 0.02), (x, y, z + 0.01), (x, y, z + 0.02)]
    disc = tube(knots, (0.03, 0.055, 0.05, 0.03), rows=10)
    rays = 1 + 0.25 * np.cos(5 * disc.around)
    return disc.widened(rays).mesh(ramp(disc.along, (0, tones[0]), (1, tones[1])), 0.7)


def _peel(
    rng: np.random.Generator, knots: list[tuple[float, float]], tones: tuple[str, str, str]
) -> tuple[Surface, Array]:
    """A slightly uneven body and its mottled colour."""
    body = lathe(knots)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.03 * fbm(body.points, 1.5, seed, 2))
    mottle = 0.5 + 0.35 * fbm(body.points, 1.8, seed + 1, 4) + rng.uniform(-0.15, 0.15)
    return body, ramp(mottle, (0, tones[0]), (0.5, tones[1]), (1, tones[2]))


def orange(rng: np.random.Generator) -> Mesh:
    """A round orange with a green button."""
    body, tint = _peel(rng, GLOBE, ("da660a", "e4780e", "ea8a1a"))
    return join(body.mesh(tint, 0.36), _button(body, ("8a8a3a", "5c6b2a")))


def lemon(rng: np.random.Generator) -> Mesh:
    """A lemon with its nipple and its neck."""
    body, tint = _peel(rng, OVAL, ("dcae14", "e8c022", "ecca3c"))
    tint = over(tint, "b9b03a", 0.5 * step(body.along, 0.07, 0.02))
    tint = over(tint, "8a7a30", step(body.along, 0.97, 0.985))
    return body.mesh(tint, 0.34)


def lime(rng: np.random.Generator) -> Mesh:
    """A lime, darker at its ends."""
    body, tint = _peel(rng, SHORT, ("3c5f16", "557a20", "86983a"))
    tint = over(tint, "a8b848", step(fbm(body.points, 1.1, 3, 2), 0.2, 0.9) * 0.6)
    tint = over(tint, "8a7a40", step(body.along, 0.97, 0.985))
    return body.mesh(tint, 0.28)


def grapefruit(rng: np.random.Generator) -> Mesh:
    """A big fruit, yellow with a pink cheek."""
    body, tint = _peel(rng, GLOBE, ("e09a38", "e6a840", "ecb850"))
    cheek = body.points[..., 0] + 0.35 * fbm(body.points, 1.6, int(rng.integers(1 << 30)), 3)
    tint = over(tint, "d4532e", 0.9 * step(cheek, -0.25, 0.4))
    return join(body.mesh(tint, 0.34), _button(body, ("8a8a4a", "6b6b3a")))


def _half(rng: np.random.Generator, rind: str, flesh: tuple[str, str], segments: int) -> Mesh:
    """The lower half of a globe with its segments showing."""
    body = halved([*GLOBE[:4], (0.49, 0.0)])
    face, out = face_of(body)
    seed = int(rng.integers(1 << 30))
    wave = fbm(body.points, 3.0, seed, 2)
    turn = body.around * segments / (2 * np.pi) + 0.06 * wave
    edge = np.abs(turn - np.round(turn)) * out
    drops = np.stack(
        [np.cos(body.around) * 3, np.sin(body.around) * 3, out * 0.9 + 9 * np.floor(turn)], -1
    )
    juice = fbm(drops, 5.0, seed + 1, 3)
    tint = ramp(0.5 + 0.5 * juice, (0, flesh[0]), (1, flesh[1]))
    white = np.maximum(step(edge, 0.045, 0.012), step(out, 0.12, 0.07))
    tint = over(tint, "f4dcc0", 0.9 * np.maximum(white, step(out + 0.01 * wave, 0.87, 0.9)))
    tint = over(tint, rind, step(out, 0.955, 0.97))
    tint = np.where(face[..., None] > 0, tint, paint(rind))
    pushed = body.pushed(face * (0.004 * juice - 0.008 * white))
    return pushed.mesh(tint, np.where(face > 0, 0.22, 0.36))


def grapefruit_half(rng: np.random.Generator) -> Mesh:
    """Half a red grapefruit."""
    return _half(rng, "efae4a", ("c8202c", "e2484a"), 11)
