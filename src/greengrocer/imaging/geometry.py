"""What fits an image to the model: data in the bundle and one pure function.

Training, evaluation and serving all call it, so that they cannot drift apart.
"""

import math
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

Pixels = npt.NDArray[np.uint8]
Box = tuple[float, float, float, float]  # left, top, right, bottom

LONGEST = 2  # times the shorter side: an image up to that is scaled whole before a crop,
MOST_SCALED = 1_000_000  # if it has at most so many pixels then

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


class Geometry(BaseModel):
    """How an image of any shape becomes the model's input. Sides are in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=16, le=2048)
    height: int = Field(ge=16, le=2048)
    shape: Literal["squeeze", "crop", "letterbox"] = Field(
        "squeeze",
        description="squeeze: the image, its aspect given up; crop: the middle of the image, "
        "scaled to shorter_side; letterbox: the whole image, with bars beside it",
    )
    share: float = Field(
        1.0,
        ge=0.25,
        le=1,
        description="squeeze: how much of the image's width and of its height, about the middle",
        exclude_if=lambda share: share == 1,
    )
    shorter_side: int | None = Field(
        None, ge=16, le=4096, description="of the scaled image that a crop is cut from"
    )
    centre: Literal["round", "floor"] = Field(
        "round", description="of half a pixel, where a crop is off the middle by one"
    )
    fill: tuple[int, int, int] | None = Field(None, description="colour of a letterbox's bars, RGB")
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bilinear"
    antialias: bool = Field(
        True, description="false: each pixel is read from its neighbours alone, as TensorFlow does"
    )
    decode: Literal["scaled", "whole"] = Field(
        "scaled",
        description="scaled: a large JPEG is decoded at a half, a fourth or an eighth of its size, "
        "where that is enough; whole: at its size, as other frameworks do",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.share < 1 and self.shape != "squeeze":
            raise ValueError("share is for a squeeze")
        if (self.shape == "crop") != (self.shorter_side is not None):
            raise ValueError("shorter_side is for a crop, and a crop needs it")
        if self.shorter_side is not None and self.shorter_side < max(self.width, self.height):
            raise ValueError("shorter_side is smaller than the crop")
        if (self.shape == "letterbox") != (self.fill is not None):
            raise ValueError("fill is for a letterbox, and a letterbox needs it")
        if self.fill is not None and not all(0 <= level <= 255 for level in self.fill):
            raise ValueError("fill has a level that is not from 0 to 255")
        if not self.antialias and self.resample != "bilinear":
            raise ValueError(f"{self.resample} without antialias is not there: only bilinear is")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the model's input."""
        return self.width, self.height

    @property
    def decoded_size(self) -> tuple[int, int]:
        """Width and height of the smallest image that has all that the model sees."""
        if self.shorter_side is not None:
            return self.shorter_side, self.shorter_side
        return math.ceil(self.width / self.share), math.ceil(self.height / self.share)


def fit(image: Image.Image, geometry: Geometry) -> Pixels:
    """Fit an upright RGB image to the model's input: uint8 [height, width, 3]."""
    if geometry.shape == "letterbox":
        return np.asarray(_letterbox(image, geometry))
    if geometry.shape == "crop":
        return np.asarray(_crop(image, geometry))
    return np.asarray(_resize(image, geometry.size, squeeze_box(image.size, geometry), geometry))


def crop_box(size: tuple[int, int], geometry: Geometry) -> Box:
    """The part of an image of ``size`` (width, height) that a crop shows, in its pixels.

    As torchvision and timm do it: the shorter side becomes ``shorter_side``, the longer one is
    rounded down, and the crop's corner is half of what is left over, rounded to even.
    """
    scaled = _scaled(size, geometry)
    corner = _corner(scaled, geometry)
    scale = [side / after for side, after in zip(size, scaled, strict=True)]
    left, top = (at * by for at, by in zip(corner, scale, strict=True))
    return left, top, left + geometry.width * scale[0], top + geometry.height * scale[1]


def squeeze_box(size: tuple[int, int], geometry: Geometry) -> Box:
    """The part of an image of ``size`` (width, height) that a squeeze shows, in its pixels."""
    left, top = (side * (1 - geometry.share) / 2 for side in size)
    return left, top, size[0] - left, size[1] - top


def letterbox_box(size: tuple[int, int], geometry: Geometry) -> tuple[int, int, int, int]:
    """Where in the model's input an image of ``size`` (width, height) comes to lie."""
    scale = min(inner / side for inner, side in zip(geometry.size, size, strict=True))
    width, height = (max(1, round(side * scale)) for side in size)
    left = round((geometry.width - width) / 2 - 0.1)  # an odd pixel goes to the right and below
    top = round((geometry.height - height) / 2 - 0.1)
    return left, top, left + width, top + height


def seen_box(size: tuple[int, int], geometry: Geometry) -> Box:
    """Where the model's input lies on an image of ``size`` (width, height), in its pixels.

    A letterbox reaches beyond the image.
    """
    if geometry.shape == "crop":
        return crop_box(size, geometry)
    if geometry.shape == "squeeze":
        return squeeze_box(size, geometry)
    left, top, right, bottom = letterbox_box(size, geometry)
    across, down = size[0] / (right - left), size[1] / (bottom - top)
    return (
        -left * across,
        -top * down,
        (geometry.width - left) * across,
        (geometry.height - top) * down,
    )


def seen_share(size: tuple[int, int], geometry: Geometry) -> Box | None:
    """The same as shares of width and height; None where the model sees the whole image."""
    if geometry.shape == "squeeze" and geometry.share == 1:
        return None
    left, top, right, bottom = seen_box(size, geometry)
    return left / size[0], top / size[1], right / size[0], bottom / size[1]


def _half(over: int, geometry: Geometry) -> int:
    return over // 2 if geometry.centre == "floor" else round(over / 2)


def _scaled(size: tuple[int, int], geometry: Geometry) -> tuple[int, int]:
    """What a whole image of ``size`` is scaled to before a crop."""
    shorter, least = geometry.shorter_side, min(size)
    assert shorter is not None
    width, height = (shorter if side == least else int(shorter * side / least) for side in size)
    return width, height


def _corner(scaled: tuple[int, int], geometry: Geometry) -> tuple[int, int]:
    left, top = (
        _half(side - kept, geometry) for side, kept in zip(scaled, geometry.size, strict=True)
    )
    return left, top


def _whole(image: Image.Image) -> Box:
    return 0.0, 0.0, float(image.width), float(image.height)


def _crop(image: Image.Image, geometry: Geometry) -> Image.Image:
    """The middle of the image. Of a long one, only that is scaled: a few levels differ by 1."""
    scaled = _scaled(image.size, geometry)
    if max(scaled) > LONGEST * min(scaled) or scaled[0] * scaled[1] > MOST_SCALED:
        return _resize(image, geometry.size, crop_box(image.size, geometry), geometry)
    left, top = _corner(scaled, geometry)
    box = (left, top, left + geometry.width, top + geometry.height)
    return _resize(image, scaled, _whole(image), geometry).crop(box)


def _letterbox(image: Image.Image, geometry: Geometry) -> Image.Image:
    left, top, right, bottom = letterbox_box(image.size, geometry)
    canvas = Image.new("RGB", geometry.size, geometry.fill)
    inner = right - left, bottom - top
    canvas.paste(_resize(image, inner, _whole(image), geometry), (left, top))
    return canvas


def _resize(image: Image.Image, size: tuple[int, int], box: Box, geometry: Geometry) -> Image.Image:
    """The part of ``image`` in ``box`` at ``size``; only what is shown is computed."""
    if geometry.antialias:
        return image.resize(size, _FILTERS[geometry.resample], box)
    left, top, right, bottom = box
    across, down = (right - left) / size[0], (bottom - top) / size[1]
    affine = (across, 0.0, left, 0.0, down, top)
    return image.transform(size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
