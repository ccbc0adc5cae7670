"""One training: what is to be trained, from what, to where, and the files of its stages."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from greengrocer.bundles.manifest import MANIFEST
from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.training.learning.checkpoint import TeacherId, names_digest, read_state
from greengrocer.training.learning.course import TimeLimit
from greengrocer.training.learning.fit import Fitted, begun_precision, fit, origin_of
from greengrocer.training.learning.precision import Precision
from greengrocer.training.learning.teacher import Teacher
from greengrocer.training.recipe import Recipe

HOLD_OUT = "holdout"  # the first fit of a training without folds, and often its only one
REFIT = "refit"  # the fit to all images: it has seen what the other stages are judged by


def fold_stage(fold: int, folds: int) -> str:
    """The stage that leaves out ``fold``, counted from 0."""
    return f"fold{fold + 1}of{folds}"


class TrainingJob(NamedTuple):
    """``teachers`` are the outs of earlier trainings, whose checkpoints lie beside them.

    ``limits`` are those of its stages, of a training without folds.
    """

    recipe: Recipe
    data: Path
    out: Path
    device: str
    threads: int
    teachers: tuple[Path, ...] = ()
    precision: Precision | None = None  # of fits that have not begun; None: they choose
    limits: Mapping[str, TimeLimit] = {}

    @property
    def kept_attempts(self) -> Path:
        """Where the gate keeps what it has found of the network that ships."""
        return self.out.with_name(f"{self.out.name}.gate.npz")

    @property
    def judged_attempts(self) -> Path:
        """Where it keeps what it has found of a first network that does not ship."""
        return self.out.with_name(f"{self.out.name}.judged.gate.npz")

    def fit(
        self,
        stage: str,
        taxonomy: Taxonomy,
        pictures: Sequence[LabelledImage],
        judged: Sequence[LabelledImage] = (),
        epochs: int | None = None,
    ) -> Fitted:
        """Fit to ``pictures``, taught by the teachers' networks of the same stage.

        Some of the ``judged`` images are answered after each epoch. Without a number of
        ``epochs``, they are those of the recipe.
        A teacher of the same stage has seen the same images, and none that are held out.
        Raises UsageError where a teacher has not come so far, or split the images otherwise.
        """
        teacher = self._teacher(stage, taxonomy, pictures)
        state = checkpoint(self.out, stage)
        return fit(
            self.recipe,
            taxonomy,
            pictures,
            state,
            self.device,
            self.threads,
            teacher,
            self.precision,
            judged,
            self.limits.get(stage),
            epochs,
        )

    def check(
        self, stage: str, taxonomy: Taxonomy, pictures: Sequence[LabelledImage]
    ) -> tuple[TeacherId, ...]:
        """Raise what ``fit`` would refuse, before any step; return who will teach it."""
        teacher = self._teacher(stage, taxonomy, pictures)
        path = checkpoint(self.out, stage)
        if path.exists():
            origin = origin_of(self.recipe, taxonomy, pictures, teacher)
            origin.check(path, read_state(path))
        return teacher.ids if teacher else ()

    def begun(self, stages: Sequence[str]) -> Precision | None:
        """The precision of those of its ``stages`` that have begun; None where none has."""
        return next((begun_precision(read_state(path)) for path in self.kept(stages)), None)

    def kept(self, stages: Sequence[str]) -> list[Path]:
        """The checkpoints of ``stages`` that are on disk."""
        paths = (checkpoint(self.out, stage) for stage in stages)
        return [path for path in paths if path.exists()]

    def _teacher(
        self, stage: str, taxonomy: Taxonomy, pictures: Sequence[LabelledImage]
    ) -> Teacher | None:
        if not self.teachers:
            return None
        checkpoints = [checkpoint(out, stage) for out in self.teachers]
        classes = len(taxonomy.classes)
        return Teacher(checkpoints, self.recipe, classes, self.device, names_digest(pictures))


def judged_path(out: Path) -> Path:
    """Where the bundle of a first fit lies until the report on it is written (data.refit)."""
    return out.with_name(f"{out.name}.judged")


def remove_judged(out: Path) -> None:
    """Delete what lies there, if anything; the manifest first, for a half of a bundle is none."""
    judged = judged_path(out)
    (judged / MANIFEST).unlink(missing_ok=True)
    if judged.exists():
        shutil.rmtree(judged)


def checkpoint(out: Path, stage: str) -> Path:
    """Where the training of ``out`` keeps the state of ``stage``."""
    return out.with_name(f"{out.name}.{stage}.checkpoint.pt")
