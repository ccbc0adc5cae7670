"""From a trained network to what ships: rounded, exported, quantised, judged, calibrated."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from torch import nn
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.errors import UsageError
from greengrocer.figures.score import ClassIds
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.recogniser import AnswerHead, Prototypes, Recogniser
from greengrocer.networks.weights import Halves, load_float16, to_float16
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.calibrate import (
    Thresholds,
    calibrated,
    figures,
    fit_temperature,
    fit_thresholds,
    mean_nll,
)
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.measure import answer_pictures
from greengrocer.training.release.prototypes import find_prototypes
from greengrocer.training.release.quantisation_loss import Comparison, compare
from greengrocer.training.release.quantise import quantise
from greengrocer.training.release.space_to_depth import space_to_depth_stem


class Exported(NamedTuple):
    """One network's backbone as graphs in float and in int8, and what stands behind either."""

    in_float: onnx.ModelProto
    in_int8: onnx.ModelProto
    head: nn.Linear
    prototypes: Prototypes
    geometry: Geometry

    def graph(
        self,
        temperature: float,
        coarse_of: Sequence[int] | None,
        backbone: onnx.ModelProto | None = None,
    ) -> onnx.ModelProto:
        """The whole graph, in int8 and folded as it ships unless a ``backbone`` is named."""
        head = AnswerHead(self.head, self.prototypes, temperature, coarse_of)
        if backbone is not None:
            return answer_graph(backbone, head, self.geometry)
        return space_to_depth_stem(answer_graph(self.in_int8, head, self.geometry))


class RawAnswers(NamedTuple):
    """Answers before calibration for N images, and their true labels [N].

    Logits [N, classes] by both precisions; the known score [N] by int8.
    """

    in_float: Floats
    in_int8: Floats
    known_score: Floats
    truth: ClassIds

    def compare(self) -> Comparison:
        """What int8 costs on these images."""
        return compare(self.in_float.argmax(axis=1), self.in_int8.argmax(axis=1), self.truth)


class Calibration(NamedTuple):
    """What raw answers of images that training did not see tell about the model."""

    temperature: float
    thresholds: Thresholds
    metrics: dict[str, float]


def published(trained: Recogniser, recipe: Recipe) -> tuple[Recogniser, dict[str, Halves]]:
    """The network as every engine will have it: rounded to the float16 that the bundle holds."""
    try:
        weights = to_float16(trained)
    except ValueError as error:
        raise UsageError(f"training diverged, try a lower lr: {error}") from error
    network = Recogniser(recipe.backbone, trained.head.out_features)
    load_float16(network, weights)
    return network.eval(), weights


def geometry_of(recipe: Recipe) -> Geometry:
    """What the model sees of an image."""
    return Geometry(width=recipe.export.image_size, height=recipe.export.image_size)


def export(network: Recogniser, training: Sequence[LabelledImage], recipe: Recipe) -> Exported:
    """Export ``network``, quantise it, and find its prototypes, by the images that trained it."""
    geometry = geometry_of(recipe)
    in_float = backbone_graph(network.backbone, geometry)
    order = np.random.default_rng(recipe.seed).permutation(len(training))
    sample = [training[int(index)] for index in order[: recipe.export.calibration_images]]
    tqdm.write(f"quantising with {len(sample)} training images")
    in_int8 = quantise(in_float, [read_fitted(p.path, geometry) for p in sample])
    paths, labels = [p.path for p in training], np.array([p.label for p in training])
    prototypes = find_prototypes(in_int8, paths, labels, geometry)
    return Exported(in_float, in_int8, network.head, prototypes, geometry)


def answer_raw(exported: Exported, pictures: Sequence[LabelledImage]) -> RawAnswers:
    """What a network answers for ``pictures`` in both precisions, before calibration."""
    paths = [picture.path for picture in pictures]
    tqdm.write(f"judging on {len(paths)} images")
    in_float, in_int8 = (
        answer_pictures(exported.graph(1.0, None, backbone), paths, exported.geometry)
        for backbone in (exported.in_float, exported.in_int8)
    )
    truth = np.array([picture.label for picture in pictures])
    return RawAnswers(in_float.logits, in_int8.logits, in_int8.known_score, truth)


def calibrate(
    raw: RawAnswers,
    coarse_of: Sequence[int] | None,
    recipe: Recipe,
    check: Callable[[Comparison], None],
    source: str,
) -> Calibration:
    """Let ``check`` judge what int8 costs, then fit the temperature and thresholds to int8.

    The metrics' names begin with ``source``. Raises UsageError where ``check`` refuses.
    """
    found = raw.compare()
    tqdm.write(
        f"int8 has {found.int8_top1:.1f} % top-1, float {found.float_top1:.1f} %: {found.gain:+.2f}"
        f" points, 95 % interval {found.gain_low:.2f} to {found.gain_high:.2f}"
    )
    check(found)
    temperature = fit_temperature(raw.in_int8, raw.truth)
    probabilities = calibrated(raw.in_int8, temperature)
    thresholds = fit_thresholds(probabilities, raw.known_score, raw.truth, coarse_of, recipe.export)
    metrics = {
        "pictures": found.pictures,
        "top1": found.int8_top1,
        "top1_float": found.float_top1,
        **figures(probabilities, raw.known_score, raw.truth, coarse_of, thresholds),
        "int8_agreement": found.agreement,
        "int8_gain": found.gain,
        "int8_gain_low": found.gain_low,
        "int8_gain_high": found.gain_high,
        "nll_before_calibration": mean_nll(raw.in_int8, raw.truth),
        "nll": mean_nll(raw.in_int8, raw.truth, temperature),
    }
    named = {f"{source}_{name}": value for name, value in metrics.items()}
    return Calibration(temperature, thresholds, named)
