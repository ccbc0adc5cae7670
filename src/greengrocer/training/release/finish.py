"""From a trained network to what ships: rounded, exported, quantised, judged, calibrated."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.datasets.labelled import LabelledPicture
from greengrocer.engines.engine import Floats
from greengrocer.errors import UsageError
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.recogniser import AnswerHead, Recogniser
from greengrocer.networks.weights import Halves, load_float16, to_float16
from greengrocer.training.pictures.reading import read_fitted
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.calibrate import (
    Labels,
    fit_temperature,
    known_scores,
    known_threshold,
    mean_nll,
)
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.gate import Comparison, compare
from greengrocer.training.release.measure import answer_pictures
from greengrocer.training.release.quantise import quantise


class Backbones(NamedTuple):
    """One network's backbone as graphs in float and in int8."""

    in_float: onnx.ModelProto
    in_int8: onnx.ModelProto


class RawAnswers(NamedTuple):
    """Logits [N, classes] before calibration, by both precisions, and the true labels [N]."""

    in_float: Floats
    in_int8: Floats
    truth: Labels

    def compare(self) -> Comparison:
        """What int8 costs on these pictures."""
        return compare(self.in_float.argmax(axis=1), self.in_int8.argmax(axis=1), self.truth)


class Calibration(NamedTuple):
    """What raw answers of pictures that training did not see tell about the model."""

    temperature: float
    known_threshold: float
    metrics: dict[str, float]


def published(trained: Recogniser, recipe: Recipe) -> tuple[Recogniser, dict[str, Halves]]:
    """The network as every engine will have it: rounded to the float16 that the bundle holds."""
    try:
        weights = to_float16(trained)
    except ValueError as error:
        raise UsageError(f"training went astray, try a lower rate: {error}") from error
    network = Recogniser(recipe.network, trained.head.out_features)
    load_float16(network, weights)
    return network.eval(), weights


def geometry_of(recipe: Recipe) -> Geometry:
    """What the model sees of a picture."""
    return Geometry(width=recipe.export.size, height=recipe.export.size)


def export_backbones(
    network: Recogniser, training: Sequence[LabelledPicture], recipe: Recipe
) -> Backbones:
    """Export ``network`` and quantise it with a sample of the pictures that it trained on."""
    geometry = geometry_of(recipe)
    in_float = backbone_graph(network.backbone, geometry)
    order = np.random.default_rng(recipe.seed).permutation(len(training))
    sample = [training[int(index)] for index in order[: recipe.export.calibration_pictures]]
    tqdm.write(f"quantising with {len(sample)} training pictures")
    return Backbones(in_float, quantise(in_float, [read_fitted(p.path, geometry) for p in sample]))


def answer_raw(
    network: Recogniser,
    backbones: Backbones,
    pictures: Sequence[LabelledPicture],
    geometry: Geometry,
) -> RawAnswers:
    """What ``network`` answers for ``pictures`` in both precisions."""
    head = AnswerHead(network.head, 1.0, None)
    paths = [picture.path for picture in pictures]
    tqdm.write(f"judging on {len(paths)} pictures")
    in_float, in_int8 = (
        answer_pictures(answer_graph(backbone, head, geometry), paths, geometry).logits
        for backbone in backbones
    )
    return RawAnswers(in_float, in_int8, np.array([picture.label for picture in pictures]))


def calibrate(
    raw: RawAnswers, recipe: Recipe, gate: Callable[[Comparison], None], source: str
) -> Calibration:
    """Let ``gate`` judge what int8 costs, then fit the temperature and threshold to int8.

    The metrics' names begin with ``source``. Raises UsageError where ``gate`` refuses.
    """
    found = raw.compare()
    tqdm.write(
        f"int8 has {found.int8_top1:.1f} % top-1, float {found.float_top1:.1f} %: {found.gain:+.2f}"
        f" points, 95 % interval {found.gain_low:.2f} to {found.gain_high:.2f}"
    )
    gate(found)
    temperature = fit_temperature(raw.in_int8, raw.truth)
    scores = known_scores(raw.in_int8, temperature)
    threshold = known_threshold(scores, recipe.export.known_quantile)
    metrics = {
        "pictures": found.pictures,
        "top1": found.int8_top1,
        "top1_float": found.float_top1,
        "int8_agreement": found.agreement,
        "int8_gain": found.gain,
        "int8_gain_low": found.gain_low,
        "int8_gain_high": found.gain_high,
        "nll_before_calibration": mean_nll(raw.in_int8, raw.truth),
        "nll": mean_nll(raw.in_int8, raw.truth, temperature),
    }
    named = {f"{source}_{name}": value for name, value in metrics.items()}
    return Calibration(temperature, threshold, named)
