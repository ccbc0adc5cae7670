"""An imported model as a bundle on disk, with goldens that it answers."""

import hashlib
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.bundles.files import MAX_BYTES
from greengrocer.bundles.save import GoldenImage, Model, save_bundle
from greengrocer.datasets.dataset import Taxonomy
from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.importing.calibration import Calibration
from greengrocer.importing.fold import PIXELS
from greengrocer.importing.head import Head
from greengrocer.importing.ladder import Climbed
from greengrocer.importing.order import Order
from greengrocer.importing.photos import Photos, read_pixels
from greengrocer.importing.source import open_session, run_session
from greengrocer.importing.understand import Understood
from greengrocer.version import __version__

GOLDENS = 4
LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")


def write(
    order: Order,
    found: Understood,
    graph: onnx.ModelProto,
    head: Head,
    taxonomy: Taxonomy,
    calibration: Calibration,
    shipped: Climbed,
    photos: Photos | None,
    probes: Sequence[Path],
    out: Path,
) -> None:
    """Write the bundle ``out``; raises UsageError where it cannot be one."""
    data = graph.SerializeToString()
    if len(data) > MAX_BYTES * 0.95:
        raise UsageError(
            f"{order.model} makes a graph of {len(data) / 1e6:.0f} MB: a bundle has at most "
            f"{MAX_BYTES / 1e6:.0f}"
        )
    thresholds = calibration.thresholds
    candidates = [photo.path for photo in photos.judging] if photos else _drawings()
    made = datetime.now(UTC)
    model = Model(
        name=order.name,
        description=_description(order, calibration),
        classes=taxonomy.classes,
        coarse=taxonomy.coarse,
        coarse_of=taxonomy.coarse_of,
        geometry=found.geometry,
        known_threshold=thresholds.known if thresholds and head.prototypes else None,
        fine_threshold=thresholds.fine if thresholds else 0.0,
        coarse_threshold=thresholds.coarse if thresholds else 0.0,
        network=None,
        graph=data,
        weights=None,
        evidence=head.evidence,
        calibrated=thresholds is not None,
        provenance=_provenance(order, found, calibration, shipped, photos, made),
        metrics=calibration.metrics | _costs(shipped),
        trained_on=(),
    )
    goldens = choose_goldens(data, candidates or list(probes), found.geometry, taxonomy.classes)
    save_bundle(model, goldens, out, made)


def choose_goldens(
    graph: bytes, candidates: Sequence[Path], geometry: Geometry, classes: Sequence[str]
) -> tuple[GoldenImage, ...]:
    """Of the images that each of at most 4 classes is the answer for, that with the widest lead.

    A wide lead survives the rounding of another processor. ``graph`` is the finished one.
    """
    session = open_session(onnx.load_from_string(graph), "the graph")
    rows = [
        run_session(
            session, ["probabilities"], {PIXELS: read_pixels(path, geometry)[None]}, "the graph"
        )[0]
        for path in tqdm(candidates, "choosing goldens", unit="image", delay=1, leave=False)
    ]
    probabilities = np.concatenate(rows)
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    chosen: dict[int, int] = {}
    for index in np.argsort(second - first, kind="stable"):
        chosen.setdefault(int(probabilities[index].argmax()), int(index))
    return tuple(
        GoldenImage(candidates[index], classes[label], min(1.0, float(first[index])))
        for label, index in list(chosen.items())[:GOLDENS]
    )


def _drawings() -> list[Path]:
    return [shown.path for shown in built_in_gallery().pictures]


def _description(order: Order, calibration: Calibration) -> str:
    said = f"Imported from {order.model.name}."
    if calibration.thresholds is None:
        said += " It is not calibrated: no photos were given, and its confidence is the source's."
    return said


def _costs(shipped: Climbed) -> dict[str, float]:
    """What the precision that ships costs; the provenance has what the others would have."""
    found, name = shipped.verdict.comparison, shipped.precision
    if found is None or name == "float32":
        return {}
    return {
        f"held_out_{name}_agreement": found.agreement,
        f"held_out_{name}_gain": found.gain,
        f"held_out_{name}_gain_low": found.gain_low,
        f"held_out_{name}_gain_high": found.gain_high,
    }


def _provenance(
    order: Order,
    found: Understood,
    calibration: Calibration,
    shipped: Climbed,
    photos: Photos | None,
    made: datetime,
) -> dict[str, Any]:
    how, versions = found.how, {name: version(name) for name in LIBRARIES}
    told: dict[str, Any] = {
        "imported": {
            "file": order.model.name,
            "sha256": hashlib.sha256(order.model.read_bytes()).hexdigest(),
            "producer": found.source.model.producer_name[:100],
            "preprocessing": how.origin,
            "mean": list(how.mean),
            "std": list(how.std),
            "channels": "BGR" if how.bgr else "RGB",
            "evidence": "given" if found.head.evidence else found.ending.why,
            "temperature": calibration.temperature,
        },
        "precision": shipped.precision,
        "why": shipped.verdict.why,
        "attempts": [attempt.told() for attempt in shipped.attempts],
        "date": made.isoformat(timespec="seconds"),
        "versions": versions | {"greengrocer": __version__, "python": platform.python_version()},
    }
    if photos is not None:
        told["held_out"] = {"pictures": len(photos.judging)}
        told["fitted_with"] = {"pictures": len(photos.fitting)}
        told["held_out"]["sha256"] = hashlib.sha256(
            "".join(sorted(photo.digest or "" for photo in photos.judging)).encode()
        ).hexdigest()
    return told
