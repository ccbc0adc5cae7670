"""The input of a report: an evaluation, and how it was run."""

from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

from greengrocer.bundles.bundle import OPTIONAL, Bundle
from greengrocer.bundles.manifest import MANIFEST, Manifest
from greengrocer.engines.engine import Floats
from greengrocer.evaluation.evaluate import Evaluation
from greengrocer.evaluation.fold_answers import FoldAnswers
from greengrocer.evaluation.robustness import Robustness
from greengrocer.evaluation.training_overlap import TrainingOverlap
from greengrocer.figures.score import ClassIds, Flags


class Stopwatch:
    """A pipeline's observer: how long decoding and inference took. Safe from any thread."""

    def __init__(self) -> None:
        self._decoded: list[float] = []
        self._inferred: list[float] = []

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""
        self._decoded.append(seconds)

    def inferred(self, seconds: float) -> None:
        """The model ran."""
        self._inferred.append(seconds)

    @property
    def decode_milliseconds(self) -> float:
        """The median of decode and fit; NaN before the first image."""
        return 1000 * median(self._decoded or [float("nan")])

    @property
    def infer_milliseconds(self) -> float:
        """The median of inference; NaN before the first image."""
        return 1000 * median(self._inferred or [float("nan")])


@dataclass(frozen=True)
class Run:
    """One evaluation of a bundle on a split, or on a folder that has none."""

    manifest: Manifest
    split: str | None
    engine: str
    threads: int
    bundle_bytes: int
    evaluation: Evaluation
    stopwatch: Stopwatch
    unknown: Floats | None = None  # known scores [M] of images that show nothing known
    robustness: Robustness | None = None
    fold_answers: FoldAnswers | None = None  # of the training of the bundle
    overlap: TrainingOverlap = field(default_factory=TrainingOverlap)
    note: str = ""  # a sentence for the page's head

    @cached_property
    def predicted(self) -> ClassIds:
        """The likeliest class of every image, [N]."""
        predicted: ClassIds = self.evaluation.probabilities.argmax(axis=1)
        return predicted

    @cached_property
    def confidence(self) -> Floats:
        """Its probability, [N]."""
        confidence: Floats = self.evaluation.probabilities.max(axis=1)
        return confidence

    @cached_property
    def correct(self) -> Flags:
        """Whether it is the true one, [N]."""
        correct: Flags = self.predicted == self.evaluation.labels
        return correct

    def coarse_name(self, label: int) -> str | None:
        """The coarse class of the class ``label``, None without a hierarchy."""
        if self.manifest.coarse is None or self.manifest.coarse_of is None:
            return None
        return self.manifest.coarse[self.manifest.coarse_of[label]]


def served_bytes(bundle: Bundle) -> int:
    """The size of what serving reads of a bundle."""
    served = {MANIFEST, *bundle.manifest.files} - OPTIONAL
    return sum((bundle.directory / name).stat().st_size for name in served)
