"""Writes a picture as the folder of numbers that the Blender script builds its scene from."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from tools.gallery.floors import FLOORS
from tools.gallery.noise import Array
from tools.gallery.stage import Finish, Kind, Picture, Placed, Pose
from tools.gallery.surface import Mesh, turn

LENS = 70.0
SENSOR = 36.0
HULL_POINTS = 80


class SceneFolder:
    """Collects the meshes and items of one scene and writes them down."""

    def __init__(self, folder: Path, picture: Picture, samples: int) -> None:
        self._folder = folder
        self._picture = picture
        self._samples = samples
        self._rng = np.random.default_rng([picture.seed, *picture.name.encode()])
        self._meshes: list[dict[str, Any]] = []
        self._items: list[dict[str, Any]] = []
        self._known: dict[int, list[int]] = {}

    def write(self) -> None:
        """Writes scene.json and the mesh files."""
        picture = self._picture
        floor, finish = FLOORS[picture.floor]
        ground = self._add_mesh(floor(self._rng), finish)
        self._add_item(ground, np.zeros(3), np.eye(3), 1.0)
        self._heap()
        for placed in picture.placed:
            self._place(placed)
        plan = {
            "meshes": self._meshes,
            "items": self._items,
            "walls": _walls(picture.box),
            "settle": picture.settle,
            **_look(picture, self._samples),
        }
        (self._folder / "scene.json").write_text(json.dumps(plan), encoding="utf-8")

    def _heap(self) -> None:
        """Hangs the heap above the box, layer over layer, ready to fall."""
        picture = self._picture
        if not picture.count:
            return
        variants = self._variants(picture.kind)
        for number, spot in enumerate(_grid(picture)):
            place = spot + self._rng.uniform(-0.06, 0.06, 3)
            scale = float(np.exp(self._rng.uniform(-picture.spread, picture.spread)))
            turned = _random_turn(picture.pose, self._rng)
            self._add_item(variants[number % len(variants)], place, turned, scale, "falls")

    def _place(self, placed: Placed) -> None:
        """Adds one thing put in its place by hand."""
        about_x, about_y, about_z = placed.turn
        turned = turn("z", about_z) @ turn("y", about_y) @ turn("x", about_x)
        how = "rests" if placed.rests else "still"
        mesh = self._rng.choice(self._variants(placed.kind))
        self._add_item(mesh, np.array(placed.at), turned, placed.scale, how)

    def _variants(self, kind: Kind) -> list[int]:
        """The numbers of the kind's meshes, modelled when first asked for."""
        if id(kind) not in self._known:
            self._known[id(kind)] = [
                self._add_mesh(kind.make(self._rng), kind.finish) for _ in range(kind.variants)
            ]
        return self._known[id(kind)]

    def _add_mesh(self, mesh: Mesh, finish: Finish) -> int:
        """Writes a mesh file and returns its number."""
        number = len(self._meshes)
        tint = np.column_stack([np.clip(mesh.tint, 0, 1), np.clip(mesh.rough, 0.03, 1)])
        with (self._folder / f"mesh-{number}.bin").open("wb") as file:
            file.write(mesh.points.astype("<f4").tobytes())
            file.write(mesh.quads.astype("<i4").tobytes())
            file.write(tint.astype("<f4").tobytes())
        entry = {"points": len(mesh.points), "quads": len(mesh.quads), "finish": vars(finish)}
        self._meshes.append({**entry, "hull": _hull(mesh).tolist()})
        return number

    def _add_item(
        self, mesh: int, at: Array, turned: Array, scale: float, how: str = "still"
    ) -> None:
        """Notes one thing of the scene, that falls, stays still, or rests on what fell."""
        angles = _euler(turned)
        entry = {"mesh": int(mesh), "at": at.tolist(), "turn": angles, "scale": scale}
        self._items.append({**entry, "how": how})


def _grid(picture: Picture) -> list[Array]:
    """Places for the heap's things: full layers, each a little aside of the one below."""
    (width, depth), cell = picture.box, np.array(picture.cell)
    across, back = max(1, int(width / cell[0])), max(1, int(depth / cell[1]))
    spots = []
    for number in range(picture.count):
        layer, rest = divmod(number, across * back)
        column, row = rest % across, rest // across
        aside = 0.12 * (-1) ** layer
        middle = np.array([column - (across - 1) / 2 + aside, row - (back - 1) / 2 + aside, 0])
        spots.append((middle + np.array([0, 0, layer + 0.6])) * cell)
    return spots


def _random_turn(pose: Pose, rng: np.random.Generator) -> Array:
    """A turn that the pose allows."""
    spin = turn("z", rng.uniform(-180, 180)) if pose.rolled else np.eye(3)
    lying = turn("x", 90 if pose.flips and rng.random() < 0.5 else -90)
    base = (lying if pose.lying else np.eye(3)) @ spin
    tipped = turn("x", pose.tilt * rng.uniform(-1, 1)) @ turn("y", pose.tilt * rng.uniform(-1, 1))
    return np.asarray(turn("z", pose.yaw * rng.uniform(-1, 1)) @ tipped @ base)


def _euler(matrix: Array) -> list[float]:
    """The XYZ Euler angles of a rotation matrix, as Blender counts them."""
    level = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if level < 1e-6:
        about_x = np.arctan2(-matrix[1, 2], matrix[1, 1])
        return [float(about_x), float(np.arctan2(-matrix[2, 0], level)), 0.0]
    return [
        float(np.arctan2(matrix[2, 1], matrix[2, 2])),
        float(np.arctan2(-matrix[2, 0], level)),
        float(np.arctan2(matrix[1, 0], matrix[0, 0])),
    ]


def _hull(mesh: Mesh) -> Array:
    """The outermost core vertices in evenly spread directions: what the thing collides as."""
    core = mesh.points[: mesh.core or len(mesh.points)][::7]
    turns = np.arange(HULL_POINTS) + 0.5
    height = 1 - 2 * turns / HULL_POINTS
    angle = turns * np.pi * (1 + 5**0.5)
    ring = np.sqrt(1 - height**2)
    ways = np.stack([ring * np.cos(angle), ring * np.sin(angle), height])
    stretch = np.maximum(np.ptp(core, axis=0), 1e-6)[:, None]
    return np.asarray(core[np.unique(np.argmax(core @ (ways / stretch), axis=0))])


def _walls(box: tuple[float, float]) -> list[dict[str, Any]]:
    """The unseen floor and four sides that keep the heap together."""
    width, depth = box
    walls: list[dict[str, Any]] = [{"size": (80, 80, 2), "at": (0, 0, -1)}]
    for side in (-1, 1):
        walls.append({"size": (2, 80, 80), "at": (side * (width / 2 + 1), 0, 39)})
        walls.append({"size": (80, 2, 80), "at": (0, side * (depth / 2 + 1), 39)})
    return walls


def _look(picture: Picture, samples: int) -> dict[str, Any]:
    """Camera, lights and film; all distances grow with the width of the view."""
    view, light = picture.view, picture.light
    span, target = view.span, np.array(view.target)
    rise, swing = np.radians(view.elevation), np.radians(view.azimuth)
    way = np.array([np.sin(swing) * np.cos(rise), -np.cos(swing) * np.cos(rise), np.sin(rise)])
    at = target + way * span * LENS / SENSOR
    warm, cool = np.array([1, 0.93, 0.82]), np.array([1, 0.985, 0.96])
    tone = cool + (warm - cool) * light.warmth
    lamps = [((-1.0, 0.9, 1.5), (1.1, 1.1), 62.0), ((1.3, -0.5, 1.2), (0.7, 1.2), 13.0)]
    return {
        "camera": {"at": at.tolist(), "target": view.target, "lens": LENS, "fstop": view.fstop},
        "lights": [
            {
                "at": (target + np.array(place) * span).tolist(),
                "target": view.target,
                "size": [side * span for side in size],
                "power": power * span**2 * light.key,
                "colour": tone.tolist(),
            }
            for place, size, power in lamps
        ],
        "sky": [0.42 * light.sky, 0.44 * light.sky, 0.47 * light.sky],
        "film": {
            "size": view.size,
            "samples": samples,
            "transform": "Filmic",
            "look": "High Contrast",
            "exposure": 0.2,
        },
    }
