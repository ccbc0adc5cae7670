"""One training: what is to be trained, from what, to where, and the files of its stages."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from greengrocer.datasets.labelled import LabelledPicture, Taxonomy
from greengrocer.networks.recogniser import Recogniser
from greengrocer.training.learning.fit import fit
from greengrocer.training.learning.teacher import Teacher
from greengrocer.training.recipe import Recipe

HOLD_OUT = "holdout"  # the one fit of a training without folds
REFIT = "refit"  # the fit to all pictures: it has seen what the other stages are judged by


def fold_stage(fold: int, folds: int) -> str:
    """The stage that leaves out ``fold``, counted from 0."""
    return f"fold{fold + 1}of{folds}"


class Work(NamedTuple):
    """``teachers`` are the outs of earlier trainings, whose checkpoints lie beside them."""

    recipe: Recipe
    data: Path
    out: Path
    device: str
    threads: int
    teachers: tuple[Path, ...] = ()

    def fit(
        self, stage: str, taxonomy: Taxonomy, pictures: Sequence[LabelledPicture]
    ) -> Recogniser:
        """Fit to ``pictures``, taught by the teachers' networks of the same stage.

        A teacher of the same stage has seen the same pictures, and none that are held out.
        Raises UsageError where a teacher has not come so far, or split the pictures otherwise.
        """
        teacher = None
        if self.teachers:
            checkpoints = [checkpoint(out, stage) for out in self.teachers]
            teacher = Teacher(checkpoints, self.recipe, len(taxonomy.classes), self.device)
        state = checkpoint(self.out, stage)
        return fit(self.recipe, taxonomy, pictures, state, self.device, self.threads, teacher)


def checkpoint(out: Path, stage: str) -> Path:
    """Where the training of ``out`` keeps the state of ``stage``."""
    return out.with_name(f"{out.name}.{stage}.checkpoint.pt")
