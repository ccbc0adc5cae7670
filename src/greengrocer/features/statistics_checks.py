"""Whether a statistics file is what it should be: it may be a stranger's.

Every check raises ValueError with what is wrong, in a line.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from greengrocer.bundles.manifest import GRAPH
from greengrocer.features.statistics import (
    MOST_KEPT,
    START,
    Moments,
    Shots,
    Statistics,
    moments_between,
    unnumbered,
)

MOST_CHANNELS = 4096  # then a matrix of the sums has 134 MB, and a few are made
MOST_IMAGES = 1_000_000_000
LARGEST = float(np.finfo(np.float16).max)  # of a feature
ROUNDED = 1.01  # what sums may be over the largest that there can be
MOST_SHOT = 1 << 56


class Settings(BaseModel):
    """What a head is computed by, beside the statistics.

    ``seed`` is that of a quick bundle's folds. A bundle whose network was trained has the names of
    the classes that ``trained`` it, and how many ``prototypes`` are theirs.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    seed: int | None = Field(None, ge=0, lt=1 << 63)
    trained: tuple[str, ...] | None = None
    prototypes: int | None = Field(None, ge=1, le=10_000_000)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.trained is None) != (self.prototypes is None):
            raise ValueError("trained and prototypes must both be given or both be absent")
        if (self.trained is None) == (self.seed is None):
            raise ValueError("either seed, or trained and prototypes, must be given")
        return self


class Told(BaseModel):
    """The JSON in the file's header."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[str, ...]
    settings: Settings


def check_sides(rows: int, width: int, channels: int) -> None:
    """Of the features, as the header tells them; raises ValueError.

    ``channels`` are those that the graph's head reads.
    """
    if width != channels:
        raise ValueError(
            f"it has {width:,} features an image, and the head of {GRAPH} reads {channels:,}"
        )
    if width > MOST_CHANNELS:
        raise ValueError(f"it has {width:,} features an image, over {MOST_CHANNELS:,}")
    if rows > MOST_KEPT:
        raise ValueError(f"it has {rows:,} images, over {MOST_KEPT:,}")


def checked(tensors: Mapping[str, Any], told: Told) -> Statistics:
    """The statistics in ``tensors``, by their names; raises ValueError."""
    classes = told.classes
    count, channels = _need(tensors, "features", np.float16, (None, None)).shape
    rows = {
        "digests": _need(tensors, "digests", np.uint8, (count, START)),
        "labels": _need(tensors, "labels", np.int32, (count,)).astype(np.int64),
        "features": tensors["features"],
        "shots": unnumbered(count),  # bundles of before have none
    }
    if "shots" in tensors:
        rows["shots"] = _shots(tensors, count)
    if not np.isfinite(rows["features"]).all():
        raise ValueError("features has a number that is not finite")
    _check_range("labels", rows["labels"], 0, len(classes) - 1)
    _check_range("shots", rows["shots"], -1, MOST_SHOT - 1)
    keys = np.column_stack([rows["digests"], rows["labels"]])
    if len(np.unique(keys, axis=0)) < count:
        raise ValueError("digests has an image twice in a class")
    rest = _rest(tensors, len(classes), channels) if "rest.counts" in tensors else None
    found = Statistics(classes=classes, rest=rest, **rows)
    _check_classes(found, told.settings)
    return found


def _shots(tensors: Mapping[str, Any], count: int) -> Shots:
    """Those of bundles of before name no places."""
    found = _need(tensors, "shots", np.int64, (count, None))
    if found.shape[1] == 2:
        found = np.concatenate([found, np.full_like(found[:, :1], -1)], axis=1)
    return np.asarray(_need({"shots": found}, "shots", np.int64, (count, 3)))


def _rest(tensors: Mapping[str, Any], classes: int, channels: int) -> Moments:
    counts = _need(tensors, "rest.counts", np.int64, (classes,))
    _check_range("rest.counts", counts, 0, MOST_IMAGES)
    total = int(counts.sum())
    _check_range("the sum of rest.counts", np.array([total]), 1, MOST_IMAGES)
    rounded = "rest.within" in tensors
    name, kind = ("rest.within", np.float16) if rounded else ("rest.second", np.float64)
    # Before memory is taken for the matrix:
    given = _need(tensors, name, kind, (channels * (channels + 1) // 2,))
    sums_kind = np.float32 if rounded else np.float64
    sums = _need(tensors, "rest.sums", sums_kind, (classes, channels)).astype(np.float64)
    largest = ROUNDED * LARGEST
    if not (np.isfinite(sums).all() and (abs(sums) <= largest * counts[:, None]).all()):
        raise ValueError("rest.sums has a number that is not finite or too large")
    half = np.zeros((channels, channels))
    half[np.triu_indices(channels)] = given
    second = half + np.triu(half, 1).T
    if rounded:
        second = second * total + moments_between(counts, sums)
    if not (np.isfinite(second).all() and (abs(second) <= largest**2 * total).all()):
        raise ValueError(f"{name} has a number that is not finite or too large")
    if (np.diag(second) < 0).any():
        raise ValueError(f"{name} has a negative square")
    return Moments(counts, sums, second)


def _need(tensors: Mapping[str, Any], name: str, kind: type, shape: tuple[int | None, ...]) -> Any:
    """The tensor ``name`` of a type and a shape, in which None is any side."""
    if name not in tensors:
        raise ValueError(f"there is no {name}")
    found = tensors[name]
    sides = len(found.shape) == len(shape) and all(
        wanted in (None, side) for side, wanted in zip(found.shape, shape, strict=True)
    )
    if found.dtype != kind or not sides:
        wanted = [side if side is not None else "any" for side in shape]
        raise ValueError(
            f"{name} is {found.dtype} {list(found.shape)}, not {np.dtype(kind)} "
            f"[{', '.join(map(str, wanted))}]"
        )
    return found


def _check_range(name: str, values: Any, low: int, high: int) -> None:
    if values.size and not (low <= values.min() and values.max() <= high):
        raise ValueError(f"{name} has a number that is not from {low} to {high:,}")


def _check_classes(found: Statistics, settings: Settings) -> None:
    """Every class must have images: those that trained a network in the sums, others in rows."""
    for name, count in zip(found.classes, found.counts, strict=True):
        if not count:
            raise ValueError(f"the class {name!r} has no image")
    if settings.trained is None:
        return
    known = len(settings.trained)
    if found.rest is None or settings.trained != found.classes[:known]:
        raise ValueError("settings.trained are not the first classes, or there are no sums of them")
    in_sums = found.rest.counts > 0
    if not in_sums[:known].all() or in_sums[known:].any() or (found.labels < known).any():
        raise ValueError("the sums are not those of the classes that trained the network")
