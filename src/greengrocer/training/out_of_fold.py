"""Cross-validation: each image is answered by a model that trained on nothing of its scene.

The answers are written to a file after each fold, so that a rerun resumes.
"""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from greengrocer.errors import UsageError
from greengrocer.graphs.quantisation_ladder import LADDER
from greengrocer.training.durable import replace_durably
from greengrocer.training.job import TrainingJob, fold_stage
from greengrocer.training.learning.checkpoint import LATER, TeacherId, contents_digest
from greengrocer.training.plan import Folds, Plan
from greengrocer.training.recipe import Recipe, differences, read_back
from greengrocer.training.release.finish import Exporter, RawAnswers, published
from greengrocer.training.release.quantisation_loss import Comparison, costs_too_much

Arrays = dict[str, npt.NDArray[np.generic]]

ANSWERED = ("in_float", "in_int8", "known_score")
SIZED = ("sized_logits", "sized_known_score")
CASCADE = ("looked_again",)
# Settings of the table ``export`` that take effect only once the folds have answered.
AFTERWARDS = (
    *("known_quantile", "answer_precision"),
    *("max_graph_megabytes", "max_weights_megabytes"),
)


def out_of_fold(job: TrainingJob, plan: Plan, answers: "FoldAnswers") -> RawAnswers:
    """Fit a model to all but one fold of the scenes, for each; pool what they answer.

    Images of classes with one scene are missing from the pool. Beside the bundle lie a checkpoint
    for each fold and ``<out>.out_of_fold.npz`` with the ``answers`` so far: a rerun goes on from
    them. Raises UsageError where a fit is refused.
    """
    assert plan.folds is not None
    answers.begin()
    while True:
        for fold in range(plan.folds.number):
            if not answers.complete(fold):  # or empty, where scenes are few
                _answer(job, plan, plan.folds, answers, fold)
        pooled = answers.pooled()
        if answers.judge(pooled.compare()):
            return pooled
        answers.climb()


def _answer(job: TrainingJob, plan: Plan, folds: Folds, answers: "FoldAnswers", fold: int) -> None:
    """Let the model of ``fold``, trained now or before, answer on the rung of ``answers``."""
    stage, held_out = fold_stage(fold, folds.number), folds.held_out(fold)
    tqdm.write(f"{stage}: {len(held_out)} images held out")
    training = plan.fits[stage]
    fitted = job.fit(stage, plan.taxonomy, training)
    network, _ = published(fitted.network, job.recipe, training)
    exporter = Exporter(network, training, job.recipe)
    exported = exporter.finish(exporter.ladder.backbone(LADDER[answers.rung]))
    answers.add(fold, exporter.answer(exported, held_out))


class FoldAnswers:
    """Raw answers for N images, fold by fold, in an .npz file at ``path``.

    Its arrays: ``in_float`` and ``in_int8`` float32 [N, classes] and ``known_score`` float32 [N],
    NaN where not answered yet; ``truth`` and ``fold`` int64 [N]; ``names`` [N] (folder/file);
    ``recipe``, JSON; ``contents``, a digest of the images' bytes; ``teachers``, the digest of
    each teacher's weights, fold by fold; ``rung``, the one of the ladder on which they
    answered, and ``tried``, JSON, what those below it cost. Answers that the file holds are used
    again. Where only the recipe's table ``export`` has changed, the same networks compute them
    again.

    Where it is judged at several apparent sizes, the file also has ``sizes`` [S], and as it ships
    ``sized_logits`` float32 [S, N, classes] and ``sized_known_score`` float32 [S, N]. Of a cascade
    it has ``looked_again`` float32 [N], 1 where all views were looked at.

    Raises UsageError where it is of another training.
    """

    def __init__(
        self, path: Path, recipe: Recipe, folds: Folds, teachers: Sequence[TeacherId] = ()
    ) -> None:
        self.path, self.where, self.folds = path, folds.where, folds.number
        everything, self.teachers = folds.everything, tuple(teachers)
        pictures, classes = everything.pictures, everything.taxonomy.classes
        blank = np.full((len(pictures), len(classes)), np.nan, np.float32)
        truth = np.array([p.label for p in pictures])
        self.raw = RawAnswers(blank, blank.copy(), blank[:, 0].copy(), truth)
        self.answered: tuple[str, ...] = ANSWERED
        self.sizes = recipe.export.judged_sizes
        if len(self.sizes) > 1:
            self.answered += SIZED
            each = np.stack([blank for _ in self.sizes])
            self.raw = self.raw._replace(sized_logits=each, sized_known_score=each[:, :, 0].copy())
        if recipe.export.cascade is not None:
            self.answered += CASCADE
            self.raw = self.raw._replace(looked_again=blank[:, 0].copy())
        self.names = np.array([f"{p.path.parent.name}/{p.path.name}" for p in pictures])
        self.contents = contents_digest(pictures)
        self.recipe = recipe
        self.rung = 0
        self.tried: list[dict[str, Any]] = []
        if path.exists():
            self._load()

    def begin(self) -> None:
        """Write the file, so that other folds' checkpoints beside it are never taken for these."""
        self._save()

    def complete(self, fold: int) -> bool:
        """Whether each image of ``fold`` is answered."""
        return not np.isnan(self.raw.in_int8[self.where == fold]).any()

    def add(self, fold: int, found: RawAnswers) -> None:
        """Enter and write the answers for the images of ``fold``, in their order."""
        for name in self.answered:
            getattr(self.raw, name)[_rows(name, self.where == fold)] = getattr(found, name)
        self._save()

    def judge(self, found: Comparison) -> bool:
        """Whether what the rung costs is accepted; says and notes it."""
        rung = LADDER[self.rung]
        accepted = rung.precision == "float32" or not costs_too_much(found)
        tqdm.write(
            f"{rung.precision} out of fold: {found.int8_top1:.1f} % top-1, float "
            f"{found.float_top1:.1f} %: {found.gain:+.2f} points, 95 % interval "
            f"{found.gain_low:.2f} to {found.gain_high:.2f}{'' if accepted else ': too much'}"
        )
        self.tried.append(
            {
                "precision": rung.precision,
                "accepted": accepted,
                "images": found.pictures,
                "top1": found.int8_top1,
                "agreement": found.agreement,
                "gain": found.gain,
                "gain_low": found.gain_low,
                "gain_high": found.gain_high,
            }
        )
        return accepted

    def climb(self) -> None:
        """Go on to the next rung, on which none has answered yet."""
        more = len(self.where) > self.recipe.export.calibration_images
        self.rung += 1 if more or LADDER[self.rung + 1].times_images <= 1 else 2
        for name in self.answered:
            getattr(self.raw, name).fill(np.nan)
        self._save()

    def pooled(self) -> RawAnswers:
        """The answers for every image that has been held out."""
        answered = np.asarray(~np.isnan(self.raw.in_int8).any(axis=1))
        found = {name: getattr(self.raw, name)[_rows(name, answered)] for name in self.answered}
        return self.raw._replace(truth=self.raw.truth[answered], **found)

    def _load(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                found: Arrays = dict(stored)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{self.path} cannot be read, delete it: {error}") from error
        if not found.keys() >= {*ANSWERED, "truth", "names", "fold", "recipe"}:
            raise self._refused("holds no answers of folds")
        self._check(found)
        then = read_back(str(found["recipe"]))
        assert then is not None  # or it would have been refused
        changed = differences(then.model_copy(update=self._only_later(then)), self.recipe)
        if changed:
            tqdm.write(f"the fold models answer again ({'; '.join(changed)})")
            return
        if not found.keys() >= set(self.answered):
            raise self._refused("holds no answers at the sizes of its recipe")
        self.rung = int(found.get("rung", np.array(0)))
        self.tried = json.loads(str(found.get("tried", "[]")))
        for name in self.answered:
            np.copyto(getattr(self.raw, name), found[name])

    def _check(self, found: Arrays) -> None:
        """Raise UsageError where what was ``found`` is of another training than this."""
        then = read_back(str(found["recipe"]))
        if then is None:
            raise self._refused("was written by a version whose recipe this one cannot read")
        changed = differences(then, self.recipe, LATER)
        if changed:
            raise self._refused(f"was written under another recipe ({'; '.join(changed)})")
        same = (np.array_equal(found[name], self._arrays()[name]) for name in ("names", "truth"))
        if not all(same) or found["in_int8"].shape != self.raw.in_int8.shape:
            raise self._refused("was written for other images: their names or classes differ")
        if self.contents and str(found.get("contents", self.contents)) != self.contents:
            raise self._refused("was written for other images: their bytes differ")
        if not np.array_equal(found["fold"], self.where):
            count = int(found["fold"].max()) + 1
            other = f"{count} folds, not {self.folds}" if count != self.folds else "other folds"
            raise self._refused(f"is of {other}")
        self._check_teachers(found)

    def _check_teachers(self, found: Arrays) -> None:
        if "teachers" not in found:
            if self.teachers:
                raise self._refused("does not say which teacher the fold models learned from")
            return
        if found["teachers"].tolist() != [teacher.weights for teacher in self.teachers]:
            told = ", ".join(dict.fromkeys(teacher.name for teacher in self.teachers))
            raise self._refused(
                f"is of folds that did not learn from {told or 'no teacher'}, or not from these "
                "weights: name the teacher that it began with"
            )

    def _only_later(self, then: Recipe) -> dict[str, object]:
        """The recipe's table ``export``, but for what is set only after the folds have answered."""
        later = {name: getattr(self.recipe.export, name) for name in AFTERWARDS}
        return {"export": then.export.model_copy(update=later)}

    def _refused(self, why: str) -> UsageError:
        return UsageError(
            f"{self.path} {why}: delete it and the folds' checkpoints beside it, or name another "
            "--out"
        )

    def _arrays(self) -> Arrays:
        described: Arrays = {"names": self.names, "fold": self.where}
        described["teachers"] = np.array([teacher.weights for teacher in self.teachers], str)
        described["rung"], described["tried"] = (
            np.array(self.rung),
            np.array(json.dumps(self.tried)),
        )
        described["contents"] = np.array(self.contents)
        if len(self.sizes) > 1:
            described["sizes"] = np.array(self.sizes)
        described["recipe"] = np.array(self.recipe.model_dump_json())
        raw = self.raw._asdict()
        return described | {name: raw[name] for name in (*self.answered, "truth")}

    def _save(self) -> None:
        """Write the file, whole or not at all."""
        unfinished = self.path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, **self._arrays())  # type: ignore[arg-type]  # numpy's allow_pickle
        replace_durably(unfinished, self.path)


def _rows(name: str, images: npt.NDArray[np.bool_]) -> tuple[Any, ...]:
    """The index of ``images`` [N] in an answer's array, whether or not it has an axis of sizes."""
    by_class = name in ("in_float", "in_int8", "sized_logits")
    return (..., images, slice(None)) if by_class else (..., images)
