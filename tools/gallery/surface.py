"""Shapes: a closed surface of revolution as a grid, bent and pushed about, and painted meshes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tools.gallery.noise import Array

Quads = NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """Vertices with a linear RGB tint and a roughness each, and the faces between them.

    Only the first `core` vertices (0: all) collide: a stalk must not prop up its neighbours.
    """

    points: Array
    quads: Quads
    tint: Array
    rough: Array
    core: int = 0

    def moved(
        self,
        shift: Sequence[float] | Array = (0, 0, 0),
        turn: Array | None = None,
        scale: float = 1,
    ) -> "Mesh":
        """The mesh scaled, then turned by the matrix `turn`, then shifted."""
        points = self.points * scale
        if turn is not None:
            points = points @ turn.T
        return replace(self, points=points + np.asarray(shift, dtype=float))


def join(*meshes: Mesh) -> Mesh:
    """One mesh of several, of which the first is the core."""
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes[:-1]])
    return Mesh(
        np.concatenate([mesh.points for mesh in meshes]),
        np.concatenate(
            [mesh.quads + start for mesh, start in zip(meshes, starts, strict=True)]
        ).astype(np.int32),
        np.concatenate([mesh.tint for mesh in meshes]),
        np.concatenate([mesh.rough for mesh in meshes]),
        meshes[0].core or len(meshes[0].points),
    )


def turn(axis: str, degrees: float) -> Array:
    """The matrix of a turn about the x, y or z axis."""
    angle = np.radians(degrees)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second] = -np.sin(angle)
    matrix[second, first] = np.sin(angle)
    return matrix


@dataclass(frozen=True)
class Surface:
    """A grid of points: `along` runs 0 to 1 from end to end, `around` is the angle of a column.

    The last column joins the first, unless it is an `open` sheet.
    """

    points: Array
    along: Array
    around: Array
    open: bool = False

    def normals(self) -> Array:
        """Unit vectors out of the surface (the columns wrap round, the rows end in poles).

        A pole's ring has no width to tell a direction from: it takes the mean of its neighbours.
        """
        down = np.gradient(self.points, axis=0)
        across = np.roll(self.points, -1, axis=1) - np.roll(self.points, 1, axis=1)
        out = np.cross(across, down)
        out /= np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-12)
        out[0], out[-1] = out[1].mean(axis=0), out[-2].mean(axis=0)
        return np.asarray(out)

    def pushed(self, amount: Array) -> "Surface":
        """The surface moved along its normals."""
        return replace(self, points=self.points + self.normals() * amount[..., None])

    def widened(self, factor: Array) -> "Surface":
        """The surface with its distance from the z axis multiplied."""
        points = self.points.copy()
        points[..., :2] *= factor[..., None]
        return replace(self, points=points)

    def bent(self, radius: float) -> "Surface":
        """The surface with its z axis bent into an arc of `radius` towards +x."""
        x, y, z = np.moveaxis(self.points, -1, 0)
        angle = z / radius
        reach = radius - x
        points = np.stack([radius - reach * np.cos(angle), y, reach * np.sin(angle)], axis=-1)
        return replace(self, points=points)

    def moved(self, shift: Callable[[Array], tuple[Array, Array]]) -> "Surface":
        """The surface with each level z moved sideways by `shift(z)`."""
        points = self.points.copy()
        aside = shift(points[..., 2])
        points[..., 0] += aside[0]
        points[..., 1] += aside[1]
        return replace(self, points=points)

    def mesh(self, tint: Array, rough: Array | float) -> Mesh:
        """The painted mesh."""
        rows, columns = self.along.shape
        index = np.arange(rows * columns).reshape(rows, columns)
        right = np.roll(index, -1, axis=1)
        corners = [index[:-1], right[:-1], right[1:], index[1:]]
        if self.open:
            corners = [corner[:, :-1] for corner in corners]
        return Mesh(
            self.points.reshape(-1, 3),
            np.stack(corners, axis=-1).reshape(-1, 4).astype(np.int32),
            np.broadcast_to(tint, (rows, columns, 3)).reshape(-1, 3).copy(),
            np.broadcast_to(np.asarray(rough, dtype=float), (rows, columns)).reshape(-1).copy(),
        )


def curve(knots: Sequence[Sequence[float] | Array], samples: int) -> Array:
    """A smooth (Catmull-Rom) curve through the knots, sampled evenly by length."""
    given = np.asarray(knots, dtype=float)
    ends = (2 * given[0] - given[1], 2 * given[-1] - given[-2])
    padded = np.vstack([ends[0], given, ends[1]])
    part = np.linspace(0, 1, 24, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        cubic = (3 * b - a - 3 * c + d) * part**3 + (2 * a - 5 * b + 4 * c - d) * part**2
        pieces.append(b + ((c - a) * part + cubic) / 2)
    line = np.vstack([*pieces, given[-1]])
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    places = np.linspace(0, lengths[-1], samples)
    return np.stack([np.interp(places, lengths, line[:, k]) for k in range(line.shape[1])], axis=1)


def spin(line: Array, columns: int) -> Surface:
    """The surface that the (radius, height) points of `line`, lowest first, sweep about z."""
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    radius, height = np.maximum(line[:, 0], 1e-5)[:, None], line[:, 1][:, None]
    points = np.stack(
        np.broadcast_arrays(radius * np.cos(angle), radius * np.sin(angle), height), axis=-1
    )
    along, around = np.meshgrid(np.linspace(0, 1, len(line)), angle, indexing="ij")
    return Surface(points, along, around)


def lathe(knots: Sequence[Sequence[float]], rows: int = 160, columns: int = 200) -> Surface:
    """The surface of revolution of a smooth profile of (radius, height) knots, lowest first."""
    return spin(curve(knots, rows), columns)


def tube(
    knots: Sequence[Sequence[float] | Array],
    radii: Sequence[float],
    rows: int = 40,
    columns: int = 16,
) -> Surface:
    """A round tube along a smooth path, as thick as `radii` (spread evenly) say, closed at ends."""
    path = curve(knots, rows)
    tangent = np.gradient(path, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-12)
    helper = np.eye(3)[np.argmin(np.abs(tangent).sum(axis=0))]
    side = np.cross(tangent, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(tangent, side)
    radius = np.interp(np.linspace(0, 1, rows), np.linspace(0, 1, len(radii)), radii)
    radius[[0, -1]] = 1e-5
    path[0], path[-1] = path[1], path[-2]
    angle = np.linspace(0, 2 * np.pi, columns, endpoint=False)
    ring = np.cos(angle)[:, None] * side[:, None] + np.sin(angle)[:, None] * other[:, None]
    points = path[:, None] + radius[:, None, None] * ring
    along, around = np.meshgrid(np.linspace(0, 1, rows), angle, indexing="ij")
    return Surface(points, along, around)
