"""``statistics.safetensors``: what teach and forget need of a bundle; serving never reads it."""

import json
from typing import Any

import numpy as np

from greengrocer.bundles.bundle import Bundle
from greengrocer.bundles.files import refused
from greengrocer.bundles.manifest import STATISTICS
from greengrocer.errors import BundleRefused, MissingExtra, UsageError
from greengrocer.features.statistics import START, Doubles, Moments, Statistics, unnumbered

MOST_BYTES = 150_000_000
# Settings of a bundle whose network was trained:
ON_TOP = "trained"  # the names of the classes that trained it
PROTOTYPES = "prototypes"  # how many directions it has


def pack(statistics: Statistics, settings: dict[str, Any]) -> bytes:
    """The file; ``settings`` are what else a head is computed by, as JSON.

    Raises UsageError where it would be too large to be read again.
    """
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
    settings = {ON_TOP: list(statistics.classes), PROTOTYPES: prototypes}
    packed = _packed(statistics, settings)
    return packed if len(packed) <= MOST_BYTES else b""


def _packed(statistics: Statistics, settings: dict[str, Any]) -> bytes:
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
        if ON_TOP in settings:  # nothing is taken away from it, so it may be rounded
            within = (rest.second - _between(rest)) / rest.counts.sum()
            tensors["rest.within"] = within[upper].astype(np.float16)
            tensors["rest.sums"] = rest.sums.astype(np.float32)
        else:
            tensors["rest.second"] = rest.second[upper]
    told = {"classes": list(statistics.classes), "settings": settings}
    packed: bytes = _safetensors().save(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()},
        {"statistics": json.dumps(told, sort_keys=True)},
    )
    return packed


def read_statistics(bundle: Bundle) -> tuple[Statistics, dict[str, Any]]:
    """The statistics and settings of the verified ``bundle``.

    Raises BundleRefused where there are none, or the file is not what it should be.
    """
    where = bundle.directory
    if STATISTICS not in bundle.manifest.files or not (where / STATISTICS).exists():
        raise BundleRefused(
            f"bundle {where} has no {STATISTICS}: nothing can be taught to it; train it with "
            "--quick, or take the whole bundle from where it was trained"
        )
    data = bundle.read(STATISTICS, MOST_BYTES)
    try:
        tensors = _safetensors().load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        told = json.loads(header["__metadata__"]["statistics"])
        found = _checked(tensors, tuple(told["classes"]))
        settings = dict(told["settings"])
    except MissingExtra:
        raise
    except Exception as error:  # whatever another's file makes the reader raise
        raise refused(where, STATISTICS, "is damaged or malformed") from error
    if found.classes != bundle.manifest.classes:
        raise refused(where, STATISTICS, "is of other classes than the manifest")
    return found, settings


def _checked(tensors: dict[str, Any], classes: tuple[str, ...]) -> Statistics:
    digests, labels, features = (tensors[name] for name in ("digests", "labels", "features"))
    count, channels = features.shape
    labels = labels.astype(np.int64)
    shots = tensors.get("shots", unnumbered(count))  # bundles of before have none
    if shots.ndim == 2 and shots.shape[1] == 2:  # or name no places
        shots = np.concatenate([shots, np.full_like(shots[:, :1], -1)], axis=1)
    sound = (
        digests.shape == (count, START)
        and digests.dtype == np.uint8
        and labels.shape == (count,)
        and features.dtype == np.float16
        and shots.shape == (count, 3)
        and shots.dtype == np.int64
        and bool(np.isfinite(features).all())
        and (not count or 0 <= labels.min() <= labels.max() < len(classes))
    )
    if not sound:
        raise ValueError("rows do not match")
    rest = None
    if "rest.counts" in tensors:
        rest = _rest(tensors, len(classes), channels)
    return Statistics(classes, digests, labels, features, shots, rest)


def _rest(tensors: dict[str, Any], classes: int, channels: int) -> Moments:
    rounded = "rest.within" in tensors
    given = tensors["rest.within" if rounded else "rest.second"]
    if given.shape != (channels * (channels + 1) // 2,):  # before memory is taken for the matrix
        raise ValueError("sums do not match")
    half = np.zeros((channels, channels))
    half[np.triu_indices(channels)] = given
    second = half + np.triu(half, 1).T
    counts = tensors["rest.counts"].astype(np.int64)
    sums = tensors["rest.sums"].astype(np.float64)
    if counts.shape != (classes,) or sums.shape != (classes, channels) or (counts < 0).any():
        raise ValueError("sums do not match")
    found = Moments(counts, sums, second)
    if rounded:
        found = Moments(counts, sums, second * counts.sum() + _between(found))
    if not np.isfinite(found.second).all() or not np.isfinite(sums).all():
        raise ValueError("a sum is not finite")
    return found


def _between(moments: Moments) -> Doubles:
    """The part of the second moment that the class means make, float64 [D, D]."""
    roots = moments.sums / np.sqrt(np.maximum(moments.counts, 1))[:, None]
    found: Doubles = roots.T @ roots
    return found


def _safetensors() -> Any:
    """The library; raises MissingExtra where it is not installed."""
    try:
        import safetensors.numpy as library  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("teaching a bundle", extra="quick") from error
    return library
