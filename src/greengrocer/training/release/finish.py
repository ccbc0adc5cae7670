"""From a trained network to what ships: rounded, exported, quantised, judged, calibrated."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
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
from greengrocer.graphs.nodes import from_pixels
from greengrocer.graphs.quantisation_ladder import Shipped
from greengrocer.imaging.geometry import Geometry
from greengrocer.imaging.views import Views
from greengrocer.networks.recogniser import AnswerHead, Prototypes, Recogniser
from greengrocer.networks.weights import Halves, load_float16, to_float16
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.attempt import Attempt, Backbone
from greengrocer.training.release.export import answer_graph, backbone_graph, seeing_graph
from greengrocer.training.release.ladder import Ladder
from greengrocer.training.release.measure import answer_pictures, pool_features
from greengrocer.training.release.prototypes import find_prototypes
from greengrocer.training.release.quantisation_loss import Comparison, compare
from greengrocer.training.release.sizes import figures_by_size, say_sizes, size_metrics
from greengrocer.training.release.space_to_depth import space_to_depth_stem

SMALLEST, LARGEST = 0.6, 1.5  # apparent sizes at which held-out images calibrate


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

    def graph(self, temperature: float, coarse_of: Sequence[int] | None) -> onnx.ModelProto:
        """The whole graph, folded as it ships."""
        head = AnswerHead(self.head, self.prototypes, temperature, coarse_of, self.views)
        of_a_view = space_to_depth_stem(from_pixels(self.backbone.graph))
        seeing = seeing_graph(of_a_view, self.views, self.head)
        return answer_graph(seeing, head, square(self.views.input_side))

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
        self.head, self.training, self.geometry = network.head, training, recipe.export.geometry()
        self.sizes = recipe.export.judged_sizes
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
        """The mean features by which images are answered, of ``backbone``, which sees one view.

        Float32 [N, channels]; in a cascade those of the first view for images not in doubt.
        """
        paths = [picture.path for picture in pictures]
        seeing = seeing_graph(backbone, self.views, self.head)
        return pool_features(seeing, paths, self.geometry)

    def finish(self, backbone: Backbone) -> Exported:
        """Find what the head needs of the training images' features by ``backbone``, which ships.

        Raises DatasetUnusable for an image that cannot be read.
        """
        labels = np.array([picture.label for picture in self.training])
        features = self.features(backbone.graph, self.training)
        prototypes = find_prototypes(features, labels)
        return Exported(backbone, self.head, prototypes, self.views, Embedded(labels, features))

    def answer(self, exported: Exported, pictures: Sequence[LabelledImage]) -> "RawAnswers":
        """What a network answers for ``pictures`` in float and as it ships, uncalibrated.

        As it ships at all sizes at which it is judged, in float at the images' own.
        """
        in_float = self.logits(self.in_float, pictures)
        paths, graph = [picture.path for picture in pictures], exported.graph(1.0, None)
        by_size = {size: answer_pictures(graph, paths, self.geometry, size) for size in self.sizes}
        found, truth = by_size[1.0], np.array([picture.label for picture in pictures])
        raw = RawAnswers(in_float, found.logits, found.known_score, truth)
        raw = raw._replace(looked_again=found.in_doubt)
        if len(self.sizes) == 1:
            return raw
        return raw._replace(
            sized_logits=np.stack([each.logits for each in by_size.values()]),
            sized_known_score=np.stack([each.known_score for each in by_size.values()]),
        )


class RawAnswers(NamedTuple):
    """Answers before calibration for N images, and their true labels [N].

    Logits [N, classes] in float and as it ships, and the known score [N] as it ships. What ships
    is int8 but where that costs too much. Where images were answered at several apparent sizes,
    logits [sizes, N, classes] and known scores [sizes, N] as it ships at each of them. In a
    cascade ``looked_again`` [N] is 1 where all views were looked at, at the images' own size.
    """

    in_float: Floats
    in_int8: Floats
    known_score: Floats
    truth: ClassIds
    sized_logits: Floats | None = None
    sized_known_score: Floats | None = None
    looked_again: Floats | None = None

    def compare(self) -> Comparison:
        """What the precision that ships costs on these images."""
        return compare(self.in_float.argmax(axis=1), self.in_int8.argmax(axis=1), self.truth)


class Calibration(NamedTuple):
    """What raw answers of images that training did not see tell about the model."""

    temperature: float
    thresholds: Thresholds
    metrics: dict[str, float]


def published(
    trained: Recogniser, recipe: Recipe, training: Sequence[LabelledImage]
) -> tuple[Recogniser, dict[str, Halves]]:
    """The network as every engine will have it: its logits adjusted, and rounded to float16.

    ``training`` are the images that it has learned from.
    """
    adjusted = copy.deepcopy(trained)
    with torch.no_grad():
        bias = adjusted.head.bias
        bias.sub_(logit_adjustment(recipe, training, len(bias)).to(bias.device))
    try:
        weights = to_float16(adjusted)
    except ValueError as error:
        raise UsageError(f"training diverged, try a lower lr: {error}") from error
    network = Recogniser(recipe.backbone, trained.head.out_features)
    load_float16(network, weights)
    return network.eval(), weights


def logit_adjustment(
    recipe: Recipe, training: Sequence[LabelledImage], classes: int
) -> torch.Tensor:
    """What the recipe takes from each class's logit, float32 [classes], 0 in the mean.

    A network learns how often it met each class as well (Menon et al., "Long-tail learning via
    logit adjustment", ICLR 2021), which in other places says little. One image is added to each
    class, so that one without any has a share, too. Where sampling has evened the classes out, the
    network met them so.
    """
    counts = np.bincount([picture.label for picture in training], minlength=classes)
    met = (1 - recipe.optimisation.class_balance) * np.log(counts + 1)
    taken = recipe.export.logit_adjustment * (met - met.mean())
    return torch.from_numpy(taken.astype(np.float32))


def square(side: int) -> Geometry:
    """An input of ``side`` by ``side`` pixels."""
    return Geometry(width=side, height=side)


def calibrating(raw: RawAnswers, sizes: Sequence[float]) -> tuple[Floats, Floats, ClassIds]:
    """The answers that calibrate, M of them: logits [M, classes], known scores [M], truth [M].

    Those at all ``sizes`` from 0.6 to 1.5: in other shops objects look smaller and larger. Farther
    away so little is named rightly that it would cost the answers to the others.
    """
    if raw.sized_logits is None or raw.sized_known_score is None:
        return raw.in_int8, raw.known_score, raw.truth
    near = [number for number, size in enumerate(sizes) if SMALLEST <= size <= LARGEST]
    logits = raw.sized_logits[near].reshape(-1, raw.sized_logits.shape[-1])
    return logits, raw.sized_known_score[near].ravel(), np.tile(raw.truth, len(near))


def calibrate(
    raw: RawAnswers,
    coarse_of: Sequence[int] | None,
    recipe: Recipe,
    source: str,
    precision: Shipped = "int8",
) -> Calibration:
    """Fit the temperature and thresholds to ``raw``, whose graph is of ``precision``.

    The metrics' names begin with ``source``. Where there are answers at several apparent sizes,
    those near 1 set temperature and thresholds together; what all come to is said.
    """
    found = raw.compare()
    logits, known_score, truth = calibrating(raw, recipe.export.judged_sizes)
    temperature = fit_temperature(logits, truth)
    answered = calibrated(logits, temperature), known_score, truth
    thresholds = fit_thresholds(*answered, coarse_of, recipe.export)
    probabilities = calibrated(raw.in_int8, temperature)
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
    if raw.looked_again is not None:
        metrics["looked_again"] = 100 * float(raw.looked_again.mean())
    if precision == "float32":  # it is compared with itself
        metrics = {name: value for name, value in metrics.items() if "float" not in name}
    if raw.sized_logits is not None and raw.sized_known_score is not None:
        answers = (recipe.export.judged_sizes, raw.sized_logits, raw.sized_known_score, raw.truth)
        by_size = figures_by_size(*answers, coarse_of, temperature, thresholds)
        say_sizes(by_size)
        metrics |= size_metrics(by_size)
    named = {f"{source}_{name}": value for name, value in metrics.items()}
    return Calibration(temperature, thresholds, named)
