"""Melons, whole and cut."""

import numpy as np
from tools.gallery.colour import over, paint, ramp, step
from tools.gallery.noise import Array, cells, fbm
from tools.gallery.parts import face_of, halved, stalk
from tools.gallery.surface import Mesh, Surface, join, lathe

GLOBE = [
    (0, -0.5), (0.12, -0.49), (0.32, -0.4), (0.46, -0.2), (0.5, 0), (0.46, 0.2), (0.32, 0.4),
    (0.12, 0.49), (0.04, 0.485), (0, 0.48),
]  # fmt: skip


def _netting(points: Array, seed: int) -> Array:
    """The corky net on a melon, 0 to 1."""
    warped = points + 0.05 * np.stack([fbm(points, 5.0, seed + k, 2) for k in (1, 2, 3)], axis=-1)
    near, second, _ = cells(warped, 9.0, seed)
    coarse = step(second - near, 0.2, 0.06)
    near, second, _ = cells(warped, 17.0, seed + 9)
    return np.asarray(np.maximum(coarse, 0.75 * step(second - near, 0.16, 0.05)))


def cantaloupe(rng: np.random.Generator) -> Mesh:
    """A netted melon with shallow green grooves."""
    body = lathe(GLOBE, rows=240, columns=320)
    seed = int(rng.integers(1 << 30))
    groove = (0.5 + 0.5 * np.cos(10 * body.around)) ** 9 * step(np.abs(body.along - 0.5), 0.5, 0.42)
    net = _netting(body.points, seed) * (1 - 0.7 * groove)
    body = body.pushed(0.02 * fbm(body.points, 1.5, seed, 2) - 0.018 * groove + 0.009 * net)
    skin = ramp(0.5 + 0.5 * fbm(body.points, 1.5, seed + 1, 3), (0, "a8904e"), (1, "c8ad6a"))
    tint = over(over(skin, "74803c", 0.75 * groove), "dcc9a0", 0.9 * net)
    tint = over(tint, "8a7a50", step(body.along, 0.96, 0.985))
    return body.mesh(tint, 0.6)


def cantaloupe_half(rng: np.random.Generator) -> Mesh:
    """Half a cantaloupe: orange flesh round a hollow of seeds."""
    body = halved([(0, -0.5), (0.12, -0.49), (0.32, -0.4), (0.46, -0.2), (0.5, 0)])
    face, out = face_of(body)
    seed = int(rng.integers(1 << 30))
    wave = fbm(body.points, 3.0, seed, 3)
    hollow = step(out + 0.05 * wave, 0.46, 0.36) * face
    tint = ramp(out, (0, "e0843a"), (0.5, "f09a4c"), (0.86, "f2a85c"), (0.93, "d8c07a"),
                (0.97, "8f9a4c"))  # fmt: skip
    near, _, _ = cells(body.points * np.array([1, 1, 0]), 17.0, seed + 2)
    seeds = step(near, 0.5, 0.25) * hollow * step(out, 0.04, 0.12)
    tint = over(over(tint, "d2702c", 0.6 * hollow), "f0dcae", 0.95 * seeds)
    tint = np.where(face[..., None] > 0, tint, paint("b8a064"))
    tint = over(tint, "b8a064", step(out, 0.975, 0.985))
    body = body.pushed(-0.1 * hollow * step(out, 0.42, 0.3) + 0.02 * seeds + 0.004 * wave * face)
    return body.mesh(tint, np.where(face > 0, 0.28, 0.6))


def _stripes(body: Surface, seed: int) -> Array:
    """A watermelon's dark, ragged stripes, 0 to 1."""
    rough = fbm(body.points, 3.5, seed, 4)
    fine = fbm(body.points, 12.0, seed + 1, 3)
    wave = np.cos(11 * body.around + 0.9 * rough + 0.5 * fine)
    return step(wave + 0.25 * fine, -0.15, 0.35)


def _rind(body: Surface, seed: int) -> Array:
    """The colour of a watermelon's skin."""
    stripe = _stripes(body, seed)
    veins = np.abs(fbm(body.points, 6.0, seed + 5, 3))
    pale = over(ramp(veins, (0, "6f9a4a"), (0.35, "a8c07a")), "c0d096", 0.3 * step(veins, 0.3, 0.6))
    return over(pale, ramp(veins, (0, "0f3414"), (0.6, "1f4f22")), stripe)


def watermelon(rng: np.random.Generator) -> Mesh:
    """A whole striped watermelon."""
    body = lathe([(r, z * 1.15) for r, z in GLOBE], rows=240, columns=360)
    seed = int(rng.integers(1 << 30))
    body = body.pushed(0.012 * fbm(body.points, 1.6, seed, 2))
    return join(
        body.mesh(_rind(body, seed), 0.3), stalk(rng, (0, 0, 0.55), 0.2, 0.02, ("7a8a3c", "8a7a4a"))
    )


def watermelon_half(rng: np.random.Generator) -> Mesh:
    """Half a watermelon: red flesh, black seeds, white and green rind."""
    body = halved([(0, -0.575), (0.12, -0.563), (0.32, -0.46), (0.46, -0.23), (0.5, 0)], 160, 360)
    face, out = face_of(body)
    seed = int(rng.integers(1 << 30))
    grain = fbm(body.points, 10.0, seed, 4)
    tint = ramp(out + 0.01 * grain, (0, "e0484a"), (0.4, "d8323a"), (0.8, "dc3e44"),
                (0.87, "ec8a80"), (0.91, "eee8c8"), (0.95, "c8d89a"), (0.98, "3d6a2c"))  # fmt: skip
    tint = over(tint, "ee7a74", 0.4 * step(grain, 0.2, 0.8) * step(out, 0.85, 0.8))
    ring = step(np.abs(out - 0.6 - 0.05 * np.cos(6 * body.around)), 0.17, 0.12)
    near, _, number = cells(body.points * np.array([1, 1, 0]), 13.0, seed + 2)
    seeds = step(near, 0.3, 0.22) * (number > 0.35) * ring * face
    tint = over(tint, "1d120c", seeds)
    tint = np.where(face[..., None] > 0, tint, _rind(body, seed))
    return body.pushed(face * (0.004 * grain + 0.006 * seeds)).mesh(tint, 0.3)
