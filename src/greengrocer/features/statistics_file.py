"""``statistics.safetensors``: what teach and forget need of a bundle; serving never reads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.files import refused
from greengrocer.bundles.manifest import GRAPH, STATISTICS, first_mistake
from greengrocer.errors import BundleRefused, MissingExtra, UsageError
from greengrocer.features.statistics import Statistics, moments_between
from greengrocer.features.statistics_checks import (
    MOST_CHANNELS,
    Settings,
    Told,
    check_sides,
    checked,
)
from greengrocer.safe_text import one_line

MOST_BYTES = 150_000_000
MOST_HEADER = 20_000_000  # bytes: names of classes, and the tensors' sides


def pack(statistics: Statistics, settings: Settings) -> bytes:
    """The file; ``settings`` are what else a head is computed by.

    Raises UsageError where it would be too large to be read again.
    """
    if (channels := statistics.features.shape[1]) > MOST_CHANNELS:
        raise UsageError(
            f"the network has {channels:,} features an image, and {STATISTICS} at most "
            f"{MOST_CHANNELS:,}: take a smaller network"
        )
    packed = _packed(statistics, settings)
    if len(packed) > MOST_BYTES:
        raise UsageError(
            f"{STATISTICS} of {len(statistics.classes):,} classes would have {len(packed):,} "
            f"bytes, and at most {MOST_BYTES:,} are read: train fewer classes"
        )
    return packed


def pack_trained(statistics: Statistics, prototypes: int) -> bytes:
    """The file of a network that the images of ``statistics`` trained, with so many prototypes.

    Empty where it would be too large to be read: nothing can then be taught to the bundle.
    """
    if statistics.features.shape[1] > MOST_CHANNELS:
        return b""
    settings = Settings(trained=statistics.classes, prototypes=prototypes)
    packed = _packed(statistics, settings)
    return packed if len(packed) <= MOST_BYTES else b""


def _packed(statistics: Statistics, settings: Settings) -> bytes:
    tensors = {
        "digests": statistics.digests,
        "labels": statistics.labels.astype(np.int32),
        "features": statistics.features,
        "shots": statistics.shots,
    }
    rest = statistics.rest
    if rest is not None:
        upper = np.triu_indices(len(rest.second))
        tensors |= {"rest.counts": rest.counts, "rest.sums": rest.sums}
        if settings.trained is not None:  # nothing is taken away from it, so it may be rounded
            within = (rest.second - moments_between(rest.counts, rest.sums)) / rest.counts.sum()
            tensors["rest.within"] = within[upper].astype(np.float16)
            tensors["rest.sums"] = rest.sums.astype(np.float32)
        else:
            tensors["rest.second"] = rest.second[upper]
    written = settings.model_dump(mode="json", exclude_none=True)
    told = {"classes": list(statistics.classes), "settings": written}
    packed: bytes = _safetensors().save(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()},
        {"statistics": json.dumps(told, sort_keys=True)},
    )
    return packed


def check_teachable(bundle: Bundle) -> None:
    """Raise BundleRefused where the verified ``bundle`` has no statistics."""
    where = bundle.directory
    if STATISTICS not in bundle.manifest.files or not (where / STATISTICS).exists():
        raise BundleRefused(
            f"bundle {where} has no {STATISTICS}: nothing can be taught to it or forgotten. Train "
            "one that can be taught, on images of all classes: `greengrocer train PHOTOS --quick`"
        )


def read_statistics(bundle: Bundle, channels: int) -> tuple[Statistics, Settings]:
    """The statistics and settings of the verified ``bundle``, whose head reads ``channels``.

    Raises BundleRefused where there are none, or the file is not what it should be. Its header is
    compared with the head before a tensor is read, for a matrix of channels x channels comes of it.
    """
    check_teachable(bundle)
    where = bundle.directory
    data = bundle.read(STATISTICS, MOST_BYTES)
    library = _safetensors()
    try:
        header = _header(data)
        text = header["__metadata__"]["statistics"]
        rows, width = map(int, header["features"]["shape"])
    except Exception as error:  # whatever another's file makes the reader raise
        raise _damaged(where) from error
    try:
        check_sides(rows, width, channels)
    except ValueError as error:
        raise _malformed(where, str(error)) from error
    try:
        tensors = library.load(data)
    except Exception as error:  # the same
        raise _damaged(where) from error
    try:
        told = Told.model_validate_json(text)
        found = checked(tensors, told)
    except ValidationError as error:
        raise _malformed(where, first_mistake(error)) from error
    except ValueError as error:
        raise _malformed(where, str(error)) from error
    if found.classes != bundle.manifest.classes:
        raise refused(where, STATISTICS, "is of other classes than the manifest")
    return found, told.settings


def check_prototypes(
    bundle: Bundle, statistics: Statistics, settings: Settings, prototypes: int
) -> None:
    """Raise BundleRefused where the graph's head has other ``prototypes``."""
    if settings.trained is None or settings.prototypes is None:
        return
    wanted = settings.prototypes + len(statistics.classes) - len(settings.trained)
    if wanted != prototypes:
        why = f"with settings.prototypes {GRAPH} would have {wanted:,}, and it has {prototypes:,}"
        raise _malformed(bundle.directory, why)


def _header(data: bytes) -> Any:
    length = int.from_bytes(data[:8], "little")
    if length > MOST_HEADER:
        raise ValueError(f"its header has {length:,} bytes")
    return json.loads(data[8 : 8 + length])


def _damaged(directory: Path) -> BundleRefused:
    return refused(directory, STATISTICS, "is damaged: it is no file of statistics")


def _malformed(directory: Path, why: str) -> BundleRefused:
    return refused(directory, STATISTICS, f"is malformed: {one_line(why, 300)}")


def _safetensors() -> Any:
    """The library; raises MissingExtra where it is not installed."""
    try:
        import safetensors.numpy as library  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("teaching a bundle", extra="quick") from error
    return library
