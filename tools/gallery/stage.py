"""What a picture is made of: kinds of things, how they lie, and where the camera stands."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from tools.gallery.surface import Mesh

Maker = Callable[[np.random.Generator], Mesh]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Finish:
    """How a thing takes the light, beyond its tint and roughness."""

    coat: float = 0.0
    sheen: float = 0.0
    specular: float = 0.5
    glow: float = 0.0
    bump: float = 0.0
    bump_scale: float = 40.0
    pits: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of thing, and how many different ones to model."""

    make: Maker
    finish: Finish = Finish()
    variants: int = 4


@dataclass(frozen=True)
class Pose:
    """How things are turned before they fall: tipped by up to `tilt`, turned by up to `yaw`.

    `lying` lays the long (z) axis down along y first, either way round if `flips`; `rolled` turns
    it freely about its own axis.
    """

    tilt: float = 180.0
    yaw: float = 180.0
    lying: bool = False
    rolled: bool = True
    flips: bool = True


@dataclass(frozen=True)
class Placed:
    """A thing put at a place by hand, turned by degrees about x, y, z.

    If it `rests`, its height counts from the top of the heap below it.
    """

    kind: Kind
    at: Point
    turn: Point = (0.0, 0.0, 0.0)
    scale: float = 1.0
    rests: bool = False


@dataclass(frozen=True)
class View:
    """The camera: how wide a strip it sees at its target, from how high up and which side."""

    span: float = 4.2
    target: Point = (0.0, 0.0, 0.5)
    elevation: float = 52.0
    azimuth: float = 0.0
    fstop: float = 5.6
    size: tuple[int, int] = (400, 400)


@dataclass(frozen=True)
class Light:
    """The daylight: its strength, the strength of the light all round, and how warm it is."""

    key: float = 1.0
    sky: float = 1.0
    warmth: float = 0.0


@dataclass(frozen=True)
class Picture:
    """One picture: a heap of a kind in a box, things placed by hand, what they lie on."""

    name: str
    kind: Kind
    count: int = 0
    box: tuple[float, float] = (6.0, 6.4)
    cell: Point = (1.05, 1.05, 1.0)
    pose: Pose = Pose()
    spread: float = 0.08
    placed: tuple[Placed, ...] = ()
    floor: str = "crate"
    view: View = View()
    light: Light = Light()
    settle: int = 90
    seed: int = 1
