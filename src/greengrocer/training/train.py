"""From labelled pictures and a recipe to a bundle: fit, export, quantise, calibrate, gate, save."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from greengrocer.bundles.manifest import Network
from greengrocer.bundles.save import Model, check_new, save_bundle
from greengrocer.datasets.labelled import LabelledPicture, Taxonomy
from greengrocer.errors import UsageError
from greengrocer.networks.device import choose_device
from greengrocer.networks.weights import Halves, familiar_to_float16
from greengrocer.training.folds import out_of_fold
from greengrocer.training.pictures.splits import read_splits, read_together
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.finish import (
    Calibration,
    answer_raw,
    calibrate,
    export,
    geometry_of,
    published,
)
from greengrocer.training.release.gate import refuse_disagreement, refuse_loss, refuse_lossy
from greengrocer.training.release.goldens import GOLDENS, built_in_pictures, choose_goldens
from greengrocer.training.work import HOLD_OUT, REFIT, Work
from greengrocer.version import __version__

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy", "pillow")


class Finished(NamedTuple):
    """What ships: weights, graph and calibration.

    ``pictures`` may serve as goldens; ``origin`` says, for the provenance, what trained and what
    was answered unseen.
    """

    taxonomy: Taxonomy
    weights: dict[str, Halves]
    graph: onnx.ModelProto
    calibration: Calibration
    pictures: Sequence[LabelledPicture]
    origin: dict[str, Any]


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str = "auto",
    goldens: Path | None = None,
    folds: int | None = None,
    teachers: Sequence[Path] = (),
) -> Path:
    """Train ``recipe`` on the pictures below ``data``, write the bundle ``out`` and return it.

    The state of each fit is kept in ``<out>.*checkpoint.pt``: a rerun goes on from there. With
    ``folds``, no picture is held out from the model that ships: it is calibrated by what as many
    others answer for the scenes that they did not see. ``teachers`` are the outs of earlier
    trainings on the same data, in the same folds; the networks learn from theirs.

    Goldens are taken from the JPEGs in the folder ``goldens``, else from the built-in gallery, else
    (for classes that it does not show) from the data set's pictures, held-out ones where there are
    any.

    Raises UsageError for whatever is wrong with ``out``, ``device``, the data or the result.
    """
    check_new(out)
    if bool(teachers) != bool(recipe.distillation.weight):
        raise UsageError("a teacher and a distillation.weight in the recipe come together")
    target = choose_device(device)
    out.parent.mkdir(parents=True, exist_ok=True)
    threads = os.cpu_count() or 2 if target.type == "cuda" else 2
    work = Work(recipe, data, out, target.type, threads, tuple(teachers))
    finished = _train_holding_out(work) if folds is None else _train_on_all(work, folds)
    geometry, taxonomy = geometry_of(recipe), finished.taxonomy
    candidates = _candidates(finished, goldens)
    chosen = choose_goldens(finished.graph, candidates, geometry, taxonomy.classes)
    made = datetime.now(UTC)
    model = Model(
        name=recipe.name,
        classes=taxonomy.classes,
        coarse=taxonomy.coarse,
        coarse_of=taxonomy.coarse_of,
        geometry=geometry,
        known_threshold=finished.calibration.thresholds.known,
        fine_threshold=finished.calibration.thresholds.fine,
        coarse_threshold=finished.calibration.thresholds.coarse,
        network=Network(architecture=recipe.network, temperature=finished.calibration.temperature),
        graph=finished.graph.SerializeToString(),
        weights=finished.weights,
        provenance=_provenance(work, finished, made),
        metrics=finished.calibration.metrics,
    )
    save_bundle(model, chosen, out, made)
    return out


def _train_holding_out(work: Work) -> Finished:
    """One fit, judged and calibrated on pictures that it did not see."""
    recipe = work.recipe
    splits = read_splits(work.data, recipe)
    taxonomy, training, held_out, source = splits
    trained = work.fit(HOLD_OUT, taxonomy, training)
    network, weights = published(trained, recipe)
    exported = export(network, training, recipe)
    weights |= familiar_to_float16(exported.familiar)
    raw = answer_raw(exported, held_out)
    calibration = calibrate(raw, taxonomy.coarse_of, recipe, refuse_lossy, "held_out")
    graph = exported.graph(calibration.temperature, taxonomy.coarse_of)
    origin = _trained_on(recipe, training)
    origin["held_out"] = {"split": source, "pictures": len(held_out)}
    return Finished(taxonomy, weights, graph, calibration, held_out, origin)


def _train_on_all(work: Work, folds: int) -> Finished:
    """``folds`` fits to calibrate by, then one to all pictures, which ships."""
    recipe = work.recipe
    everything = read_together(work.data, recipe.data.splits)
    taxonomy, pictures = everything.taxonomy, everything.pictures
    pooled = out_of_fold(work, everything, folds)
    calibration = calibrate(pooled, taxonomy.coarse_of, recipe, refuse_loss, "out_of_fold")
    trained = work.fit(REFIT, taxonomy, pictures)
    network, weights = published(trained, recipe)
    exported = export(network, pictures, recipe)
    weights |= familiar_to_float16(exported.familiar)
    # It has seen them all, so whether it is right says nothing; whether int8 agrees, something.
    seen = answer_raw(exported, pictures).compare()
    refuse_disagreement(seen)
    calibration.metrics["refit_int8_agreement"] = seen.agreement
    graph = exported.graph(calibration.temperature, taxonomy.coarse_of)
    origin = _trained_on(recipe, pictures)
    origin["out_of_fold"] = {"folds": folds, "pictures": len(pooled.truth)}
    return Finished(taxonomy, weights, graph, calibration, pictures, origin)


def _trained_on(recipe: Recipe, pictures: Sequence[LabelledPicture]) -> dict[str, Any]:
    return {"training": {"split": " + ".join(recipe.data.splits), "pictures": len(pictures)}}


def _candidates(finished: Finished, folder: Path | None) -> list[Path]:
    if folder is not None:
        found = sorted(folder.glob("*.jpg"))
        if not found:
            raise UsageError(f"{folder} holds no *.jpg to take goldens from")
        return found
    built_in = built_in_pictures(finished.taxonomy.classes)
    return built_in if len(built_in) >= GOLDENS else [p.path for p in finished.pictures]


def _provenance(work: Work, finished: Finished, made: datetime) -> dict[str, Any]:
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "recipe": work.recipe.model_dump(mode="json"),
        **finished.origin,
        "teachers": [teacher.name for teacher in work.teachers],
        "device": work.device,
        "date": made.isoformat(timespec="seconds"),
        "versions": versions | {"greengrocer": __version__, "python": platform.python_version()},
    }
