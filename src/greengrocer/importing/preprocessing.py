"""How a model wants its images: a preset, what lies beside the file or in it, and a person's word.

A part that a person names wins over what was read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import ValidationError

from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.importing.source import Source

Triple = tuple[float, float, float]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Shape = Literal["squeeze", "crop", "letterbox"]

WHITE = 255.0
HALF: Triple = (127.5, 127.5, 127.5)
LEAST_STD = 1e-6
ZERO: Triple = (0.0, 0.0, 0.0)
ONE: Triple = (1.0, 1.0, 1.0)
IMAGENET_MEAN: Triple = (0.485 * WHITE, 0.456 * WHITE, 0.406 * WHITE)
IMAGENET_STD: Triple = (0.229 * WHITE, 0.224 * WHITE, 0.225 * WHITE)


@dataclass(frozen=True)
class Preprocessing:
    """What a model wants. ``mean`` and ``std`` are of levels from 0 to 255, in its channels' order.

    ``size`` (width, height) is None where only the graph tells. A crop keeps the share ``crop`` of
    the shorter side, or is cut from an image whose shorter side is ``resize`` pixels.
    """

    mean: Triple
    std: Triple
    shape: Shape = "squeeze"
    size: tuple[int, int] | None = None
    crop: float | None = None
    resize: int | None = None
    resample: Resample = "bilinear"
    antialias: bool = True
    centre: Literal["round", "floor"] = "round"
    fill: tuple[int, int, int] = (0, 0, 0)
    bgr: bool = False
    origin: str = "flags"

    def geometry(self, size: tuple[int, int], *, scaled: bool = False) -> Geometry:
        """How the product fits an image to ``size``; raises UsageError for what it cannot do.

        ``scaled``: a large JPEG is decoded at a fraction of its size.
        """
        try:
            return Geometry(
                width=size[0],
                height=size[1],
                shape=self.shape,
                shorter_side=self._shorter_side(size) if self.shape == "crop" else None,
                centre=self.centre,
                fill=self.fill if self.shape == "letterbox" else None,
                resample=self.resample,
                antialias=self.antialias or self.resample == "nearest",
                decode="scaled" if scaled else "whole",
            )
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise UsageError(
                f"images of {size[0]} x {size[1]} pixels cannot be made so: "
                f"{where + ': ' if where else ''}{first['msg']}"
            ) from error

    def _shorter_side(self, size: tuple[int, int]) -> int:
        if self.resize is not None:
            return self.resize
        return math.floor(max(size) / (self.crop or 1) + 1e-6)


@dataclass(frozen=True)
class Wishes:
    """What a person said, each None where nothing was."""

    preset: str | None = None
    size: tuple[int, int] | None = None
    mean: Triple | None = None
    std: Triple | None = None
    pixel_range: Literal[1, 255] | None = None
    shape: Shape | None = None
    crop: float | None = None
    resize: int | None = None
    resample: Resample | None = None
    antialias: bool | None = None
    fill: tuple[int, int, int] | None = None
    bgr: bool | None = None


PRESETS = {
    "torchvision": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "crop", crop=0.875),
    "timm": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, "crop", crop=0.875, resample="bicubic"),
    "timm-half": Preprocessing(HALF, HALF, "crop", crop=0.875, resample="bicubic"),
    "ultralytics": Preprocessing(ZERO, (WHITE, WHITE, WHITE), "crop", crop=1.0),
    "keras-raw": Preprocessing(ZERO, ONE, antialias=False),
    "keras-half": Preprocessing(HALF, HALF, antialias=False),
    "keras-caffe": Preprocessing((103.939, 116.779, 123.68), ONE, antialias=False, bgr=True),
    "keras-torch": Preprocessing(IMAGENET_MEAN, IMAGENET_STD, antialias=False),
}


def choose_preprocessing(
    source: Source, found: Preprocessing | None, said: Wishes
) -> Preprocessing:
    """The preprocessing of ``source``: what was ``found``, and over it what a person ``said``.

    Raises UsageError where neither tells how pixels become numbers.
    """
    if said.preset is not None:
        found = replace(PRESETS[said.preset], origin=f"the preset {said.preset}")
    if found is None and said.mean is not None and said.std is not None:
        found = Preprocessing(ZERO, ONE, shape="crop" if said.crop or said.resize else "squeeze")
    if found is None and source.type == "uint8":
        shape: Shape = "crop" if said.crop or said.resize else "squeeze"
        found = Preprocessing(ZERO, ONE, shape, origin="its input, which is bytes")
    if found is None:
        raise UsageError(
            f"{source.path} does not say how its images are made: give --preset "
            f"({', '.join(PRESETS)}), or --mean and --std, with --crop if the middle is cut out"
        )
    found = _over(found, said)
    if any(part < LEAST_STD for part in found.std):
        raise UsageError(f"the deviation of pixels must be over 0 ({found.origin}): give --std")
    if source.type == "uint8" and (found.mean, found.std) != (ZERO, ONE):
        raise UsageError(
            f"{source.path} takes bytes, from which nothing can be subtracted before: leave out "
            "--mean and --std, or give --preset keras-raw"
        )
    return found


def _over(found: Preprocessing, said: Wishes) -> Preprocessing:
    """``found`` with what was ``said`` in its place."""
    unit = _unit(said)
    changes: dict[str, Any] = {}
    for name in ("mean", "std"):
        if (value := getattr(said, name)) is not None:
            changes[name] = tuple(part * unit for part in value)
    for name in ("size", "crop", "resize", "resample", "antialias", "fill", "bgr", "shape"):
        if (value := getattr(said, name)) is not None:
            changes[name] = value
    if said.shape is None and (said.crop is not None or said.resize is not None):
        changes["shape"] = "crop"
    if said.crop is not None and said.resize is None:
        changes["resize"] = None
    return replace(found, **changes)


def _unit(said: Wishes) -> float:
    """What a person's numbers are multiplied by: they are of pixels from 0 to 1, or to 255."""
    if said.pixel_range is not None:
        return WHITE / said.pixel_range
    parts = [*(said.mean or ()), *(said.std or ())]
    return 1.0 if any(part > 1 for part in parts) else WHITE


def input_size(
    source: Source, found: Preprocessing, said: tuple[int, int] | None
) -> tuple[int, int]:
    """Width and height of what the model sees; raises UsageError where nothing tells them."""
    fixed, sides = (source.width, source.height), []
    for index, name in enumerate(("width", "height")):
        of_graph = fixed[index]
        if of_graph and said and of_graph != said[index]:
            raise UsageError(f"{source.path} takes a {name} of {of_graph}, not {said[index]}")
        side = of_graph or (found.size[index] if found.size else None)
        if side is None:
            raise UsageError(f"{source.path} takes images of any size: give --size, as --size 224")
        sides.append(side)
    return sides[0], sides[1]


def triple(values: Sequence[float], what: str) -> Triple:
    """One value for all channels, or one for each; raises UsageError."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    if len(values) != 3:
        raise UsageError(f"{what} has {len(values)} values: give 1, or 3 with commas between")
    return values[0], values[1], values[2]
