"""From a trained network to what ships: rounded, exported, quantised, judged, calibrated."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from torch import nn
from tqdm import tqdm

from greengrocer.calibration.temperature import calibrated, fit_temperature, mean_nll
from greengrocer.calibration.thresholds import Thresholds, figures, fit_thresholds
from greengrocer.datasets.dataset import LabelledImage
from greengrocer.engines.engine import Floats
from greengrocer.errors import UsageError
from greengrocer.features.statistics import of_trained
from greengrocer.features.statistics_file import pack_trained
from greengrocer.figures.score import ClassIds
from greengrocer.graphs.quantisation_ladder import Shipped
from greengrocer.graphs.views import with_views
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.networks.recogniser import AnswerHead, Prototypes, Recogniser
from greengrocer.networks.weights import Halves, load_float16, to_float16
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.attempt import Attempt, Backbone
from greengrocer.training.release.export import answer_graph, backbone_graph
from greengrocer.training.release.ladder import Ladder
from greengrocer.training.release.measure import answer_pictures, pool_features
from greengrocer.training.release.prototypes import find_prototypes
from greengrocer.training.release.quantisation_loss import Comparison, compare
from greengrocer.training.release.space_to_depth import space_to_depth_stem


class Embedded(NamedTuple):
    """Class ids [N] and features [N, D] of the training images."""

    labels: ClassIds
    features: Floats


class Exported(NamedTuple):
    """One network's backbone as a graph, as it ships, and what stands behind it."""

    backbone: Backbone
    head: nn.Linear
    prototypes: Prototypes
    views: Views
    embedded: Embedded | None = None  # None in a rehearsal

    @property
    def geometry(self) -> Geometry:
        """What the model sees of an image."""
        return square(self.views.input_side)

    def graph(self, temperature: float, coarse_of: Sequence[int] | None) -> onnx.ModelProto:
        """The whole graph, folded as it ships."""
        head = AnswerHead(self.head, self.prototypes, temperature, coarse_of, self.views)
        whole = with_views(self.backbone.graph, self.views)
        return space_to_depth_stem(answer_graph(whole, head, self.geometry))

    def statistics(self, classes: Sequence[str]) -> bytes:
        """The file by which classes can be taught on top; empty where a class has no image."""
        if self.embedded is None:
            return b""
        found = of_trained(classes, *self.embedded)
        return pack_trained(found, len(self.prototypes.directions)) if found.counts.all() else b""


class Exporter:
    """A network that was trained, on its way to what ships, by the images that trained it.

    What its ladder finds is kept in the file ``kept``, where that is given.
    """

    def __init__(
        self,
        network: Recogniser,
        training: Sequence[LabelledImage],
        recipe: Recipe,
        kept: Path | None = None,
    ) -> None:
        self.head, self.training, self.geometry = network.head, training, geometry_of(recipe)
        self.views = recipe.export.seen()
        self.in_float = backbone_graph(network.backbone, square(self.views.size))
        self.ladder = Ladder(self.in_float, training, recipe, self.geometry, kept)

    def climb(
        self,
        judged: Sequence[LabelledImage],
        refuse: Callable[[Comparison], bool],
        start: int = 0,
    ) -> tuple[int, list[Attempt]]:
        """The first rung from ``start`` that is not refused for its answers to ``judged``."""
        tqdm.write(
            f"judging on {len(judged)} images whether the network answers as well in int8, in "
            "which it is smaller and faster"
        )
        truth = np.array([picture.label for picture in judged])
        in_float: list[ClassIds] = []

        def judge(backbone: onnx.ModelProto) -> Comparison:
            if not in_float:
                in_float.append(self.logits(self.in_float, judged).argmax(axis=1))
            return compare(in_float[0], self.logits(backbone, judged).argmax(axis=1), truth)

        return self.ladder.climb(judged, judge, refuse, start)

    def logits(self, backbone: onnx.ModelProto, pictures: Sequence[LabelledImage]) -> Floats:
        """What the head makes of the features of ``backbone``: float32 [N, classes]."""
        features = self.features(backbone, pictures)
        weight, bias = (part.detach().cpu().numpy() for part in self.head.parameters())
        return np.asarray(features @ weight.T + bias)

    def features(self, backbone: onnx.ModelProto, pictures: Sequence[LabelledImage]) -> Floats:
        """The mean features that ``backbone``, of one view, makes of all views: [N, channels]."""
        paths = [picture.path for picture in pictures]
        return pool_features(with_views(backbone, self.views), paths, self.geometry)

    def finish(self, backbone: Backbone) -> Exported:
        """Find what the head needs of the training images' features by ``backbone``, which ships.

        Raises DatasetUnusable for an image that cannot be read.
        """
        labels = np.array([picture.label for picture in self.training])
        features = self.features(backbone.graph, self.training)
        prototypes = find_prototypes(features, labels)
        return Exported(backbone, self.head, prototypes, self.views, Embedded(labels, features))

    def answer(self, exported: Exported, pictures: Sequence[LabelledImage]) -> "RawAnswers":
        """What a network answers for ``pictures`` in float and as it ships, uncalibrated."""
        in_float = self.logits(self.in_float, pictures)
        paths = [picture.path for picture in pictures]
        found = answer_pictures(exported.graph(1.0, None), paths, self.geometry)
        truth = np.array([picture.label for picture in pictures])
        return RawAnswers(in_float, found.logits, found.known_score, truth)


class RawAnswers(NamedTuple):
    """Answers before calibration for N images, and their true labels [N].

    Logits [N, classes] in float and as it ships, and the known score [N] as it ships. What ships
    is int8 but where that costs too much.
    """

    in_float: Floats
    in_int8: Floats
    known_score: Floats
    truth: ClassIds

    def compare(self) -> Comparison:
        """What the precision that ships costs on these images."""
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
    return square(recipe.export.seen().input_side)


def square(side: int) -> Geometry:
    """An input of ``side`` by ``side`` pixels."""
    return Geometry(width=side, height=side)


def calibrate(
    raw: RawAnswers,
    coarse_of: Sequence[int] | None,
    recipe: Recipe,
    source: str,
    precision: Shipped = "int8",
) -> Calibration:
    """Fit the temperature and thresholds to ``raw``, whose graph is of ``precision``.

    The metrics' names begin with ``source``.
    """
    found = raw.compare()
    temperature = fit_temperature(raw.in_int8, raw.truth)
    probabilities = calibrated(raw.in_int8, temperature)
    thresholds = fit_thresholds(probabilities, raw.known_score, raw.truth, coarse_of, recipe.export)
    metrics = {
        "pictures": found.pictures,
        "top1": found.int8_top1,
        "top1_float": found.float_top1,
        **figures(probabilities, raw.known_score, raw.truth, coarse_of, thresholds),
        f"{precision}_agreement": found.agreement,
        f"{precision}_gain": found.gain,
        f"{precision}_gain_low": found.gain_low,
        f"{precision}_gain_high": found.gain_high,
        "nll_before_calibration": mean_nll(raw.in_int8, raw.truth),
        "nll": mean_nll(raw.in_int8, raw.truth, temperature),
    }
    if precision == "float32":  # it is compared with itself
        metrics = {name: value for name, value in metrics.items() if "float" not in name}
    named = {f"{source}_{name}": value for name, value in metrics.items()}
    return Calibration(temperature, thresholds, named)
