"""A finished training as a bundle on disk; the rehearsal before the first step writes one, too."""

import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from greengrocer.bundles.manifest import GRAPH, WEIGHTS, Network
from greengrocer.bundles.save import Model, save_bundle
from greengrocer.figures.learning_curve import Point
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.multiply_adds import multiply_adds
from greengrocer.networks.weights import Halves
from greengrocer.training.learning.checkpoint import TeacherId
from greengrocer.training.plan import Plan
from greengrocer.training.recipe import Export, Recipe
from greengrocer.training.release.finish import Calibration
from greengrocer.training.release.goldens import choose_goldens
from greengrocer.version import __version__

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy", "pillow")
MEGABYTE = 1_000_000


class Finished(NamedTuple):
    """What ships: weights, graph and calibration; what computed them, and from what they began."""

    weights: Mapping[str, Halves]
    graph: onnx.ModelProto
    calibration: Calibration
    device: str
    precision: str
    pretrained_origin: str
    quantisation: Mapping[str, Any]  # what ships, and what each attempt cost
    curve: Sequence[Point] = ()
    statistics: bytes = b""  # by which classes can be taught on top


def write_bundle(
    recipe: Recipe,
    plan: Plan,
    finished: Finished,
    teachers: Sequence[TeacherId],
    candidates: Sequence[Path],
    out: Path,
    prove: Callable[[Path], None],
) -> None:
    """Write the bundle ``out``, with goldens from the images ``candidates``.

    ``teachers`` are those of the network that ships. Raises UsageError where it is refused, and
    what ``prove`` raises for the finished bundle, of which then nothing is at ``out``.
    """
    geometry, taxonomy, calibration = recipe.export.geometry(), plan.taxonomy, finished.calibration
    chosen = choose_goldens(finished.graph, candidates, geometry, taxonomy.classes)
    views, made = recipe.export.seen(), datetime.now(UTC)
    model = Model(
        name=recipe.name,
        classes=taxonomy.classes,
        coarse=taxonomy.coarse,
        coarse_of=taxonomy.coarse_of,
        geometry=geometry,
        known_threshold=calibration.thresholds.known,
        fine_threshold=calibration.thresholds.fine,
        coarse_threshold=calibration.thresholds.coarse,
        network=Network(
            architecture=recipe.backbone,
            temperature=calibration.temperature,
            views=None if views.single else views.sides,
            cascade=views.cascade,
        ),
        graph=finished.graph.SerializeToString(),
        weights=finished.weights,
        provenance=_provenance(recipe, plan, finished, teachers, made),
        metrics=calibration.metrics,
        trained_on=[picture.digest for picture in plan.shipped if picture.digest],
        limits=_limits(recipe.export),
        statistics=finished.statistics,
    )
    save_bundle(model, chosen, out, made, prove)


def _limits(how: Export) -> dict[str, int]:
    asked = {GRAPH: how.max_graph_megabytes, WEIGHTS: how.max_weights_megabytes}
    return {name: int(limit * MEGABYTE) for name, limit in asked.items() if limit is not None}


def _provenance(
    recipe: Recipe, plan: Plan, finished: Finished, teachers: Sequence[TeacherId], made: datetime
) -> dict[str, Any]:
    versions = {name: version(name) for name in LIBRARIES}
    backbone = make_backbone(recipe.backbone)
    return {
        "recipe": recipe.model_dump(mode="json"),
        **plan.origin,
        **({"pretrained_origin": finished.pretrained_origin} if recipe.pretrained else {}),
        "teachers": [teacher.name for teacher in teachers],
        "teacher_weights": [teacher.weights for teacher in teachers],
        "device": finished.device,
        "precision": finished.precision,
        "quantisation": dict(finished.quantisation),
        "multiply_adds_of_a_view": multiply_adds(backbone, recipe.export.seen().size),
        "curve": [point._asdict() for point in finished.curve],
        "date": made.isoformat(timespec="seconds"),
        "versions": versions | {"greengrocer": __version__, "python": platform.python_version()},
    }
