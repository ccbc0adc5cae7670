"""Small parts and marks that many things share."""

from collections.abc import Sequence

import numpy as np
from tools.gallery.colour import ramp, step
from tools.gallery.noise import Array, cells
from tools.gallery.stage import Point
from tools.gallery.surface import Mesh, Surface, curve, join, spin, tube


def lenticels(points: Array, scale: float, seed: int) -> Array:
    """How much of a pore's dot lies at each point, 0 to 1."""
    near, _, number = cells(points, scale, seed)
    size = 0.07 + 0.11 * number
    return step(near, 1.4 * size, 0.4 * size) * (number > 0.35)


def stalk(
    rng: np.random.Generator, at: Point, length: float, thick: float, tones: tuple[str, str]
) -> Mesh:
    """A woody stalk that rises from `at`, leans somewhere and thickens at its end."""
    way = rng.uniform(0, 2 * np.pi)
    lean = rng.uniform(0.1, 0.4) * length
    out = np.array([np.cos(way), np.sin(way), 0]) * lean
    knots = [np.array(at) + out * part**2 + [0, 0, length * part] for part in (0, 0.4, 0.75, 1)]
    body = tube([tuple(knot) for knot in knots], [thick * k for k in (1.2, 0.9, 0.9, 1.1, 1.5)])
    return body.mesh(ramp(body.along, (0, tones[0]), (1, tones[1])), 0.6)


def halved(knots: Sequence[Sequence[float]], rows: int = 120, columns: int = 240) -> Surface:
    """A thing cut level through: `knots` lead to the rim, then a flat face, `along` 0.5 to 1."""
    line = curve(knots, rows)
    rim = line[-1]
    face = np.stack([np.linspace(rim[0], 0, rows), np.full(rows, rim[1])], axis=1)
    return spin(np.vstack([line, face]), columns)


def face_of(body: Surface) -> tuple[Array, Array]:
    """Where a halved thing's flat face is (0 or 1), and the way out from its middle (0 to 1)."""
    return (body.along > 0.5).astype(float), np.clip(2 - 2 * body.along, 0, 1)


def ribbon(
    knots: Sequence[Sequence[float] | Array],
    widths: Sequence[float],
    up: Point = (0, 0, 1),
    fold: float = 0.0,
    rows: int = 30,
) -> Surface:
    """A leaf: a strip along a path, as wide as `widths`; its edges rise by `fold` widths.

    `along` runs from foot to tip and `around` from -1 to 1, edge to edge.
    """
    path = curve(knots, rows)
    tangent = np.gradient(path, axis=0)
    side = np.cross(tangent, np.asarray(up, dtype=float))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12)
    lift = np.cross(side, tangent)
    lift /= np.maximum(np.linalg.norm(lift, axis=1, keepdims=True), 1e-12)
    width = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, len(widths)), widths)
    across = np.linspace(-1, 1, 9)
    reach = width[:, None, None] * across[None, :, None]
    points = path[:, None] + side[:, None] * reach + lift[:, None] * (fold * np.abs(reach))
    along, around = np.meshgrid(np.linspace(0, 1, rows), across, indexing="ij")
    return Surface(points, along, around, open=True)


def calyx(rng: np.random.Generator, at: Point, reach: float, leaves: int, droop: float) -> Mesh:
    """A star of small pointed leaves, as on top of a tomato."""
    made = []
    for number in range(leaves):
        angle = 2 * np.pi * (number + rng.uniform(-0.2, 0.2)) / leaves
        way = np.array([np.cos(angle), np.sin(angle), 0])
        long = reach * rng.uniform(0.8, 1.15)
        tip = rng.uniform(-0.15, 0.35) * reach
        rises = (0.02, 0.03 - droop / 3, tip / 2 - droop, tip - droop)
        knots = [
            np.array(at) + way * long * part + np.array([0, 0, rise])
            for part, rise in zip((0, 0.4, 0.8, 1), rises, strict=True)
        ]
        leaf = ribbon(knots, [reach * k for k in (0.12, 0.17, 0.13, 0.07, 0.01)], fold=0.5)
        made.append(leaf.mesh(ramp(leaf.along, (0, "4f7a2a"), (1, "3d6a22")), 0.55))
    return join(*made)
