"""A quick head as a whole bundle: graph, goldens, card, provenance and statistics."""

import platform
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from greengrocer.bundles.manifest import Manifest
from greengrocer.bundles.save import Model, save_bundle
from greengrocer.datasets.dataset import Taxonomy
from greengrocer.graphs.answers import Head, answer_graph
from greengrocer.imaging.geometry import Geometry
from greengrocer.quick.calibration import Calibration
from greengrocer.training.data.reading import read_picture
from greengrocer.training.release.goldens import choose_goldens
from greengrocer.training.release.replay import replay
from greengrocer.version import __version__

LIBRARIES = ("onnx", "onnxruntime", "numpy", "pillow")
GOLDEN_SIZE = 448, 448  # pixels, the largest
CANDIDATES = 12


class Content(NamedTuple):
    """What a bundle holds beside its graph and its goldens."""

    name: str
    taxonomy: Taxonomy
    geometry: Geometry
    calibration: Calibration
    provenance: dict[str, Any]
    trained_on: Sequence[str]
    statistics: bytes


def write(
    content: Content,
    backbone: onnx.ModelProto,
    head: Head,
    candidates: Sequence[Path],
    out: Path,
) -> Manifest:
    """Write the bundle ``out``, with goldens from the images ``candidates``.

    A golden is a small copy of an image, without what its file says of place and camera. Raises
    UsageError where the bundle is refused, or does not reproduce its own answers.
    """
    graph = answer_graph(backbone, head, content.geometry)
    taxonomy, calibration = content.taxonomy, content.calibration
    made = datetime.now(UTC)
    thresholds = calibration.thresholds
    with tempfile.TemporaryDirectory() as directory:
        copies = [_copy(path, Path(directory), k) for k, path in enumerate(candidates[:CANDIDATES])]
        goldens = choose_goldens(graph, copies, content.geometry, taxonomy.classes)
        model = Model(
            name=content.name,
            classes=taxonomy.classes,
            coarse=taxonomy.coarse,
            coarse_of=taxonomy.coarse_of,
            geometry=content.geometry,
            known_threshold=thresholds.known,
            fine_threshold=thresholds.fine,
            coarse_threshold=thresholds.coarse,
            network=None,
            graph=graph.SerializeToString(),
            weights=None,
            provenance=content.provenance,
            metrics=calibration.metrics,
            trained_on=content.trained_on,
            statistics=content.statistics,
        )
        return save_bundle(model, goldens, out, made, prove=replay)


def made_now() -> dict[str, Any]:
    """The part of the provenance that says when, and by what versions."""
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "device": "cpu",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions | {"greengrocer": __version__, "python": platform.python_version()},
    }


def _copy(path: Path, directory: Path, number: int) -> Path:
    small = read_picture(path, GOLDEN_SIZE)
    small.thumbnail(GOLDEN_SIZE)
    # Its own name is kept: the gallery's images are named after their class.
    copy = directory / str(number) / f"{path.stem}.jpg"
    copy.parent.mkdir()
    small.save(copy, "JPEG", quality=90)
    return copy
