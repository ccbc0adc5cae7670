"""From labelled pictures and a recipe to a bundle: fit, export, quantise, calibrate, gate, save."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from tqdm import tqdm

import greengrocer
from greengrocer.bundles.manifest import Network
from greengrocer.bundles.save import Model, check_new, save_bundle
from greengrocer.datasets.labelled import LabelledPicture
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.device import choose_device
from greengrocer.networks.recogniser import AnswerHead, Recogniser
from greengrocer.networks.weights import Halves, load_float16, to_float16
from greengrocer.training.calibrate import fit_temperature, known_threshold, mean_nll
from greengrocer.training.export import answer_graph, backbone_graph
from greengrocer.training.fit import fit
from greengrocer.training.gate import Comparison, compare, refuse_lossy
from greengrocer.training.goldens import GOLDENS, built_in_pictures, choose_goldens
from greengrocer.training.measure import answer_pictures
from greengrocer.training.pictures import read_fitted
from greengrocer.training.quantise import quantise
from greengrocer.training.recipe import Recipe
from greengrocer.training.splits import Splits, read_splits

LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy", "pillow")


class Finished(NamedTuple):
    """The graph that ships, and what was measured on the held-out pictures."""

    graph: onnx.ModelProto
    temperature: float
    known_threshold: float
    metrics: dict[str, float]


def train(
    recipe: Recipe, data: Path, out: Path, device: str = "auto", goldens: Path | None = None
) -> Path:
    """Train ``recipe`` on the pictures below ``data``, write the bundle ``out`` and return it.

    The state of the fit is kept in ``<out>.checkpoint.pt``: a rerun goes on from there. Goldens
    are taken from the JPEGs in the folder ``goldens``, else from the built-in gallery, else (for
    classes that it does not show) from the held-out pictures.

    Raises UsageError for whatever is wrong with ``out``, ``device``, the data or the result.
    """
    check_new(out)
    target = choose_device(device)
    splits = read_splits(data, recipe.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = out.with_name(f"{out.name}.checkpoint.pt")
    threads = os.cpu_count() or 2 if target.type == "cuda" else 2
    trained = fit(recipe, splits.taxonomy, splits.training, checkpoint, target.type, threads)
    network, weights = _published(trained, recipe)
    geometry = Geometry(width=recipe.export.size, height=recipe.export.size)
    finished = _finish(network, splits, recipe, geometry)
    chosen = choose_goldens(
        finished.graph, _candidates(splits, goldens), geometry, splits.taxonomy.classes
    )
    made = datetime.now(UTC)
    model = Model(
        name=recipe.name,
        classes=splits.taxonomy.classes,
        coarse=splits.taxonomy.coarse,
        coarse_of=splits.taxonomy.coarse_of,
        geometry=geometry,
        known_threshold=finished.known_threshold,
        network=Network(architecture=recipe.network, temperature=finished.temperature),
        graph=finished.graph.SerializeToString(),
        weights=weights,
        provenance=_provenance(recipe, splits, target.type, made),
        metrics=finished.metrics,
    )
    save_bundle(model, chosen, out, made)
    return out


def _published(trained: Recogniser, recipe: Recipe) -> tuple[Recogniser, dict[str, Halves]]:
    """The network as every engine will have it: rounded to the float16 that the bundle holds."""
    try:
        weights = to_float16(trained)
    except ValueError as error:
        raise UsageError(f"training went astray, try a lower rate: {error}") from error
    network = Recogniser(recipe.network, trained.head.out_features)
    load_float16(network, weights)
    return network.eval(), weights


def _finish(network: Recogniser, splits: Splits, recipe: Recipe, geometry: Geometry) -> Finished:
    """Export, quantise, gate and calibrate, all judged on the held-out pictures."""
    coarse_of = splits.taxonomy.coarse_of
    plain_head = AnswerHead(network.head, 1.0, coarse_of)
    in_float = backbone_graph(network.backbone, geometry)
    samples = [read_fitted(picture.path, geometry) for picture in _sample(splits.training, recipe)]
    tqdm.write(f"quantising with {len(samples)} training pictures")
    in_int8 = quantise(in_float, samples)
    paths = [picture.path for picture in splits.held_out]
    truth = np.array([picture.label for picture in splits.held_out])
    tqdm.write(f"judging on {len(paths)} held-out pictures")
    reference = answer_pictures(answer_graph(in_float, plain_head, geometry), paths, geometry)
    raw = answer_pictures(answer_graph(in_int8, plain_head, geometry), paths, geometry)
    comparison = compare(reference.logits.argmax(axis=1), raw.logits.argmax(axis=1), truth)
    refuse_lossy(comparison)
    temperature = fit_temperature(raw.logits, truth)
    graph = answer_graph(in_int8, AnswerHead(network.head, temperature, coarse_of), geometry)
    answers = answer_pictures(graph, paths, geometry)
    metrics = _metrics(comparison) | {
        "held_out_nll_before_calibration": mean_nll(raw.logits, truth),
        "held_out_nll": mean_nll(answers.logits, truth),
    }
    threshold = known_threshold(answers.known_score, recipe.export.known_quantile)
    return Finished(graph, temperature, threshold, metrics)


def _sample(pictures: Sequence[LabelledPicture], recipe: Recipe) -> list[LabelledPicture]:
    order = np.random.default_rng(recipe.seed).permutation(len(pictures))
    return [pictures[int(index)] for index in order[: recipe.export.calibration_pictures]]


def _candidates(splits: Splits, folder: Path | None) -> list[Path]:
    if folder is not None:
        found = sorted(folder.glob("*.jpg"))
        if not found:
            raise UsageError(f"{folder} holds no *.jpg to take goldens from")
        return found
    built_in = built_in_pictures(splits.taxonomy.classes)
    return built_in if len(built_in) >= GOLDENS else [p.path for p in splits.held_out]


def _metrics(found: Comparison) -> dict[str, float]:
    return {
        "held_out_pictures": found.pictures,
        "held_out_top1": found.int8_top1,
        "held_out_top1_float": found.float_top1,
        "held_out_int8_agreement": found.agreement,
        "held_out_int8_gain": found.gain,
        "held_out_int8_gain_low": found.gain_low,
        "held_out_int8_gain_high": found.gain_high,
    }


def _provenance(recipe: Recipe, splits: Splits, device: str, made: datetime) -> dict[str, Any]:
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "recipe": recipe.model_dump(mode="json"),
        "training": {"split": "train", "pictures": len(splits.training)},
        "held_out": {"split": splits.origin, "pictures": len(splits.held_out)},
        "device": device,
        "date": made.isoformat(timespec="seconds"),
        "versions": versions
        | {"greengrocer": greengrocer.__version__, "python": platform.python_version()},
    }
