"""Avocados, bananas, kiwis and pineapples."""

import numpy as np
from tools.gallery.colour import over, paint, ramp, step
from tools.gallery.noise import Array, cells, fbm
from tools.gallery.parts import face_of, halved, ribbon
from tools.gallery.surface import Mesh, Surface, join, lathe, turn

AVOCADO = [
    (0, -0.62), (0.12, -0.61), (0.33, -0.5), (0.44, -0.22), (0.43, 0.05), (0.32, 0.35),
    (0.24, 0.55), (0.15, 0.65), (0.05, 0.68), (0, 0.67),
]  # fmt: skip


def avocado(rng: np.random.Generator) -> Mesh:
    """A dark, pebbled avocado with the button of its stalk."""
    body = lathe(AVOCADO, rows=220, columns=240)
    seed = int(rng.integers(1 << 30))
    lean = rng.uniform(-0.15, 0.15)
    body = body.moved(lambda z: (lean * np.clip(z, 0, 1) ** 2, 0 * z))
    near, _, _ = cells(body.points, 13.0, seed)
    warts = step(near, 0.7, 0.1)
    body = body.pushed(0.03 * fbm(body.points, 1.5, seed, 2) + 0.014 * warts)
    ripe = 0.5 + 0.45 * fbm(body.points, 1.6, seed + 1, 3) + rng.uniform(-0.25, 0.25)
    tint = ramp(ripe, (0, "1d1c12"), (0.5, "2c351a"), (1, "4a5c26"))
    tint = over(tint, "6a7a3a", 0.3 * warts * step(ripe, 0.2, 0.9))
    tint = over(tint, "8a6a3c", step(body.along, 0.965, 0.985))
    return body.mesh(tint, 0.38)


def avocado_half(rng: np.random.Generator) -> Mesh:
    """Half an avocado, cut lengthwise, its stone still in it; the face looks along +y."""
    body = lathe(AVOCADO, rows=200, columns=240)
    flat = np.sin(body.around) > 0
    x, _, z = np.moveaxis(body.points, -1, 0)
    # A face point's depth inside the outline tells flesh from rim: measure it to the rim's points.
    rim = np.stack([np.abs(x[:, 0]), z[:, 0]], axis=1)[::4]
    inside = np.stack([np.abs(x), z], axis=-1)[:, :, None, :] - rim
    depth = np.sqrt((inside**2).sum(axis=-1).min(axis=-1))
    body.points[..., 1] = np.where(flat, 0.0, body.points[..., 1])
    tint = ramp(depth, (0, "232414"), (0.012, "3d5a1c"), (0.04, "a8c04a"), (0.2, "e6dc84"))
    grain = fbm(body.points, 14.0, int(rng.integers(1 << 30)), 3)
    tint = over(tint, "d8cc6a", 0.3 * step(grain, 0, 0.8))
    tint = np.where(flat[..., None], tint, paint("272a16"))
    stone = lathe([(0, -0.24), (0.12, -0.21), (0.22, 0), (0.12, 0.21), (0, 0.24)], 80, 80)
    wood = ramp(0.5 + 0.5 * fbm(stone.points, 4.0, 3, 4), (0, "5a3018"), (1, "8a5430"))
    nut = stone.mesh(wood, 0.35).moved((0, 0.03, -0.2))
    return join(body.mesh(tint, np.where(flat, 0.35, 0.45)), nut)


def _finger(rng: np.random.Generator, seed: int) -> Mesh:
    """One banana, its stalk's end at the origin, hanging down and bowed towards +x."""
    knots = [
        (0, -1.36), (0.05, -1.35), (0.07, -1.28), (0.13, -1.16), (0.21, -0.85), (0.235, -0.1),
        (0.215, 0.5), (0.14, 0.85), (0.08, 1.0), (0.07, 1.22), (0.075, 1.35), (0, 1.36),
    ]  # fmt: skip
    body = lathe(knots, rows=200, columns=80)
    wedge = 0.06 * np.cos(5 * body.around + 0.4)
    body = body.widened(1 + wedge * step(body.along, 0.08, 0.2))
    marks = fbm(body.points * np.array([2, 2, 0.7]), 5.0, seed, 4)
    broad = fbm(body.points, 1.1, seed + 1, 2)
    tint = ramp(0.5 + 0.5 * broad, (0, "e2b324"), (0.5, "edc436"), (1, "f2d154"))
    ends = np.maximum(step(body.along, 0.8, 0.97), 0.8 * step(body.along, 0.13, 0.04))
    tint = over(tint, "a8ac3a", 0.75 * ends)
    tint = over(tint, "6b4a1c", 0.75 * step(marks, 0.62, 0.85))
    tint = over(tint, "2a1d10", step(body.along, 0.045, 0.03))
    body = body.pushed(0.01 * broad).bent(rng.uniform(1.7, 1.95))
    mesh = body.mesh(tint, 0.38)
    return mesh.moved(-body.points[-1, 0])


def banana_hand(rng: np.random.Generator) -> Mesh:
    """A hand of bananas that lies with its back up and its tips towards -y."""
    count = int(rng.integers(5, 7))
    fingers = []
    for number in range(count):
        aside = number - (count - 1) / 2
        spread = turn("x", 9.5 * aside + rng.uniform(-1.5, 1.5)) @ turn("y", rng.uniform(-5, 5))
        seed = int(rng.integers(1 << 30))
        fingers.append(_finger(rng, seed).moved((0, 0.075 * aside, 0), spread))
    crown = lathe([(0, -0.12), (0.13, -0.1), (0.16, 0.02), (0.12, 0.1), (0, 0.12)], 40, 40)
    crown.points[..., 1] *= 0.55 * count / 2
    wood = ramp(0.5 + 0.5 * fbm(crown.points, 5.0, 4, 3), (0, "5a4a20"), (1, "8f8a34"))
    hanging = join(*fingers, crown.mesh(wood, 0.7))
    down = turn("z", 90) @ turn("y", 90)
    return Mesh(hanging.points @ down.T, hanging.quads, hanging.tint, hanging.rough)


def _hairs(body: Surface, seed: int) -> Array:
    """The fuzz of a kiwi: short, fine strokes along it, about [-1, 1]."""
    return fbm(body.points * np.array([2.4, 2.4, 1]), 17.0, seed, 3)


def kiwi(rng: np.random.Generator) -> Mesh:
    """A brown, fuzzy kiwi."""
    body = lathe([(0, -0.56), (0.1, -0.56), (0.28, -0.46), (0.41, -0.2), (0.43, 0.02),
                  (0.39, 0.26), (0.26, 0.48), (0.09, 0.56), (0.04, 0.6), (0, 0.6)])  # fmt: skip
    seed = int(rng.integers(1 << 30))
    body.points[..., 1] *= rng.uniform(0.88, 1)
    fuzz = _hairs(body, seed)
    body = body.pushed(0.03 * fbm(body.points, 1.5, seed, 2) + 0.01 * fuzz)
    tone = 0.5 + 0.4 * fuzz + 0.25 * fbm(body.points, 2.0, seed + 1, 3)
    tint = ramp(tone, (0, "4a3a1e"), (0.5, "6e5a34"), (1, "94804f"))
    tint = over(tint, "3a2814", np.maximum(step(body.along, 0.94, 0.97), step(body.along, 0.03, 0)))
    return body.mesh(tint, 0.8)


def kiwi_half(rng: np.random.Generator) -> Mesh:
    """Half a kiwi: a pale heart, a ring of black seeds, rays in green flesh."""
    body = halved([(0, -0.56), (0.1, -0.56), (0.28, -0.46), (0.41, -0.2), (0.43, 0)])
    face, out = face_of(body)
    seed = int(rng.integers(1 << 30))
    ring = np.stack([np.cos(body.around), np.sin(body.around), 0.12 * out], axis=-1)
    rays = fbm(ring, 9.0, seed, 2)
    heart = 0.3 + 0.03 * rays + 0.03 * np.cos(2 * body.around)
    tint = ramp(out - heart + 0.3, (0, "e4e2b0"), (0.26, "dfe0a4"), (0.34, "8fb23a"),
                (0.6, "7fa62e"), (0.94, "93b83e"))  # fmt: skip
    tint = over(tint, "c8d884", 0.55 * step(rays, 0.05, 0.5) * step(out, 0.3, 0.4))
    slot = body.around * 15 / np.pi
    row = np.where(np.floor(slot) % 2 == 0, 0.42, 0.5) + 0.03 * np.sin(7 * np.floor(slot))
    aside = (slot - np.floor(slot) - 0.5) * np.pi / 15 * out
    seeds = step(np.hypot(aside / 0.034, (out - row) / 0.062), 1.0, 0.75) * face
    tint = over(tint, "120e0a", seeds)
    tint = np.where(face[..., None] > 0, tint, paint("7a5a30"))
    tint = over(tint, "6a4c26", step(out, 0.965, 0.98))
    return body.mesh(tint, np.where(face > 0, 0.2, 0.8))


def pineapple(rng: np.random.Generator) -> Mesh:
    """A pineapple: spirals of eyes, golden and green, under a crown of stiff leaves."""
    knots = [
        (0, -0.95), (0.22, -0.96), (0.42, -0.85), (0.53, -0.5), (0.55, -0.05), (0.52, 0.4),
        (0.42, 0.75), (0.25, 0.92), (0, 0.95),
    ]  # fmt: skip
    body = lathe(knots, rows=320, columns=360)
    turns = body.around / (2 * np.pi)
    level = body.points[..., 2]
    one, two = 8 * turns + 2.3 * level, 13 * turns - 2.9 * level
    eye_x, eye_y = one - np.floor(one) - 0.5, two - np.floor(two) - 0.5
    edge = np.maximum(np.abs(eye_x), np.abs(eye_y)) * 2
    dome = 1 - edge**2.2
    spike = step(np.hypot(eye_x, eye_y), 0.16, 0.03)
    seed = int(rng.integers(1 << 30))
    fine = fbm(body.points, 9.0, seed, 4)
    ripe = step(level + 0.35 * fine, 0.75, -0.6)
    rim = ramp(ripe, (0, "55602c"), (0.5, "a8832c"), (1, "cf9a34"))
    heart = ramp(ripe, (0, "6a6a3a"), (1, "b5803a"))
    tint = over(rim, heart, step(dome, 0.35, 0.85))
    tint = over(tint, "3d3416", step(dome, 0.3, 0.02))
    tint = over(tint, "d8c090", 0.45 * step(fine, 0.1, 0.7) * step(dome, 0.5, 0.8))
    tint = over(tint, "3a2a18", 0.8 * spike)
    body = body.pushed(0.055 * dome + 0.04 * spike + 0.008 * fine)
    return join(body.mesh(tint, 0.5), *_crown(rng))


def _crown(rng: np.random.Generator) -> list[Mesh]:
    """The leaves on a pineapple: the outer ones bow out, the inner ones stand up."""
    leaves = []
    for number in range(46):
        inner = number / 46
        angle = number * 2.39996
        way = np.array([np.cos(angle), np.sin(angle), 0])
        long = (0.55 + 0.75 * inner) * rng.uniform(0.85, 1.1)
        lean = (1 - inner) * 0.85 + 0.12
        foot = way * 0.16 * (1 - 0.7 * inner) + np.array([0, 0, 0.86 + 0.12 * inner])
        up = np.array([0.0, 0.0, 1.0])
        knots = [
            foot + long * (way * lean * part**1.6 + up * part * (1 - 0.35 * lean * part))
            for part in (0, 0.3, 0.65, 1)
        ]
        leaf = ribbon(knots, (0.1, 0.095, 0.07, 0.035, 0.004), up=tuple(-way), fold=0.35)
        place = leaf.along + 0.35 * np.abs(leaf.around)
        tint = ramp(place, (0, "9ab078"), (0.3, "6f9a5a"), (0.9, "5a8650"), (1.3, "8a9a5c"))
        leaves.append(leaf.mesh(tint, 0.45))
    return leaves
