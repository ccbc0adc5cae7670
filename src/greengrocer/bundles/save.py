"""Write a bundle: whole, with its digests, or not at all."""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from greengrocer.bundles.card import CARD, card
from greengrocer.bundles.exchange import exchange
from greengrocer.bundles.manifest import (
    GRAPH,
    MANIFEST,
    STATISTICS,
    WEIGHTS,
    Golden,
    Manifest,
    Network,
    first_mistake,
    write_manifest,
)
from greengrocer.bundles.trained_on import TRAINED_ON, pack
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry

LONGEST = 80  # characters of what is not fit for a manifest


@dataclass(frozen=True)
class GoldenImage:
    """An image on disk and what the graph answers for it."""

    path: Path
    prediction: str
    confidence: float


@dataclass(frozen=True)
class Model:
    """What a bundle is made of. ``graph`` is an ONNX file, ``weights`` the network's in float16.

    ``network`` and ``weights`` are None for a network that only ONNX Runtime runs, and
    ``known_threshold`` is where the graph gives no score. ``statistics`` is what `teach` and
    `forget` need, empty where nothing can be taught.

    ``trained_on`` has the SHA-256 of each image that trained it, in hexadecimal; ``limits`` the
    most bytes that a file of the bundle may have, by its name.
    """

    name: str
    classes: tuple[str, ...]
    coarse: tuple[str, ...] | None
    coarse_of: tuple[int, ...] | None
    geometry: Geometry
    known_threshold: float | None
    fine_threshold: float
    coarse_threshold: float
    network: Network | None
    graph: bytes
    weights: Mapping[str, npt.NDArray[np.float16]] | None
    provenance: dict[str, Any]
    metrics: dict[str, float]
    trained_on: Sequence[str] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    statistics: bytes = b""
    evidence: bool = True
    calibrated: bool = True
    description: str = ""


def save_bundle(
    model: Model,
    goldens: Sequence[GoldenImage],
    out: Path,
    made: datetime,
    prove: Callable[[Path], None] = lambda _: None,
) -> Manifest:
    """Write ``model`` with its ``goldens`` and a card to the new directory ``out``, atomically.

    ``prove`` is given the bundle in a directory beside ``out``; where it raises an error, there is
    no ``out``. Raises UsageError where ``out`` exists, a file would be too large, or a name or a
    figure is not fit for a manifest.
    """
    check_new(out)
    unfinished = out.with_name(f"{out.name}.part")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    contents = _contents(model, goldens)
    try:
        manifest = _manifest(model, goldens, _digests(contents), made)
    except ValidationError as error:
        found = ascii(error.errors()[0]["input"])[:LONGEST]
        raise UsageError(f"{MANIFEST}: {first_mistake(error)}: {found}") from error
    sizes = {name: len(content) for name, content in contents.items()}
    contents[CARD] = card(manifest, sizes).encode()
    manifest = manifest.model_copy(update={"files": _digests(contents)})
    for name, content in contents.items():
        path = unfinished / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    write_manifest(manifest, unfinished)
    prove(unfinished)
    unfinished.rename(out)
    return manifest


def replace_bundle(new: Path, old: Path) -> None:
    """Put the bundle ``new`` in the place of ``old``, which is deleted; on one file system.

    A reader sees the one or the other. Where the system cannot exchange two folders at once, there
    is an instant without either. Raises OSError.
    """
    if not exchange(new, old):
        aside = old.with_name(f"{old.name}.old")
        old.rename(aside)
        new.rename(old)
        aside.rename(new)
    shutil.rmtree(new)


def check_new(out: Path) -> None:
    """Raise UsageError where something is at ``out`` already."""
    if os.path.lexists(out):  # exists() would be false for a broken link
        raise UsageError(f"{out} exists: delete it, or name another --out")


def _contents(model: Model, goldens: Sequence[GoldenImage]) -> dict[str, bytes]:
    """Every file but the manifest and the card, by its name in the bundle."""
    contents = {GRAPH: model.graph}
    if model.weights is not None:
        from safetensors.numpy import save  # noqa: PLC0415 - only the extras train and torch have it

        contents[WEIGHTS] = save(dict(model.weights))
    if model.statistics:
        contents[STATISTICS] = model.statistics
    if model.trained_on:
        contents[TRAINED_ON] = pack(model.trained_on)
    for name, limit in model.limits.items():
        if len(contents[name]) > limit:
            raise UsageError(f"{name} would have {len(contents[name])} bytes, over {limit}")
    for number, golden in enumerate(goldens, start=1):
        contents[_golden_file(number, golden)] = golden.path.read_bytes()
    return contents


def _digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def _golden_file(number: int, golden: GoldenImage) -> str:
    return f"goldens/{number}{golden.path.suffix.lower()}"


def _manifest(
    model: Model, goldens: Sequence[GoldenImage], digests: dict[str, str], made: datetime
) -> Manifest:
    return Manifest(
        name=model.name,
        version=f"{made:%Y%m%d}-{digests[GRAPH][:8]}",
        description=model.description,
        classes=model.classes,
        coarse=model.coarse,
        coarse_of=model.coarse_of,
        geometry=model.geometry,
        known_threshold=model.known_threshold,
        fine_threshold=model.fine_threshold,
        coarse_threshold=model.coarse_threshold,
        evidence=model.evidence,
        calibrated=model.calibrated,
        network=model.network,
        provenance=model.provenance,
        metrics=model.metrics,
        goldens=tuple(
            Golden(
                file=_golden_file(number, golden),
                prediction=golden.prediction,
                confidence=golden.confidence,
            )
            for number, golden in enumerate(goldens, start=1)
        ),
        files=digests,
    )
