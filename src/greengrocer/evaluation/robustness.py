"""Accuracy on corrupted images: every corruption at every severity."""

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from greengrocer.context import Context
from greengrocer.engines.engine import Floats
from greengrocer.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt, shrink
from greengrocer.evaluation.evaluate import Evaluation
from greengrocer.evaluation.map_images import map_images
from greengrocer.figures.intervals import Interval, bootstrap
from greengrocer.imaging.decode import decode
from greengrocer.pipeline import Pipeline

JUDGED = 3  # severities 1 to 3 make the relative loss: beyond them a person struggles, too


@dataclass(frozen=True)
class Robustness:
    """Which answers were right: ``clean`` [N], and ``corrupted`` [N, corruptions, severities].

    The corruptions and severities come in the order of CORRUPTIONS and SEVERITIES.
    """

    clean: npt.NDArray[np.bool_]
    corrupted: npt.NDArray[np.bool_]

    @property
    def fine_top1(self) -> dict[str, list[float]]:
        """The share of right answers at severities 1 to 5, by corruption."""
        shares: list[list[float]] = self.corrupted.mean(axis=0).tolist()
        return dict(zip(CORRUPTIONS, shares, strict=True))

    @property
    def by_severity(self) -> list[float]:
        """The mean over the corruptions, at severities 1 to 5."""
        means: list[float] = self.corrupted.mean(axis=(0, 1)).tolist()
        return means

    @property
    def figures(self) -> dict[str, object]:
        """What the command prints as JSON."""
        return {"relative_loss_1_to_3": self.relative_loss, "fine_top1": self.fine_top1}

    @property
    def relative_loss(self) -> float | None:
        """1 - (mean accuracy at severities 1 to 3) / (clean accuracy).

        Negative where corruption helped; None where no clean answer was right.
        """
        return self._loss(np.arange(len(self.clean))) if self.clean.any() else None

    @property
    def relative_loss_interval(self) -> Interval | None:
        """The bootstrap's 95 % interval over the images; None as for the loss itself."""
        return bootstrap(self._loss, len(self.clean)) if self.clean.any() else None

    def _loss(self, drawn: npt.NDArray[np.intp]) -> float:
        # A tiny draw may have no right answer: then the loss is 0.
        clean = self.clean[drawn].mean() or 1.0
        return float(1 - self._kept[drawn].mean() / clean)

    @property
    def _kept(self) -> Floats:
        """The share of each image's corrupted versions that were answered rightly, [N]."""
        kept: Floats = self.corrupted[:, :, :JUDGED].mean(axis=(1, 2))
        return kept


def robustness(pipeline: Pipeline, evaluation: Evaluation, threads: int) -> Robustness:
    """Classify each evaluated image in all its corrupted versions, on ``threads`` threads.

    Clean answers are those of ``evaluation``. An image is decoded once and shrunk to what the
    corruptions expect; its index is the seed, so that two models meet the same pixels. The
    versions reach the pipeline as PNG, which is lossless. Raises DatasetUnusable for an
    image that cannot be read any more.
    """
    truth = [pipeline.labels.classes[label] for label in evaluation.labels]

    def rights(index: int, data: bytes) -> list[list[bool]]:
        image = shrink(decode(data))
        return [
            [
                _prediction(pipeline, corrupt(image, name, severity, index)) == truth[index]
                for severity in SEVERITIES
            ]
            for name in CORRUPTIONS
        ]

    corrupted = map_images(evaluation.paths, rights, threads, "corruptions")
    clean = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    return Robustness(clean, np.array(corrupted))


def _prediction(pipeline: Pipeline, image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=0)  # deflating would cost more than the model
    return pipeline.classify(file.getvalue(), Context()).top[0].name
