"""The file of out-of-fold answers: begun before the first fold, whole after each."""

import os
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greengrocer.datasets.labelled import LabelledSet
from greengrocer.errors import UsageError
from greengrocer.training.recipe import Recipe, read_back
from greengrocer.training.release.finish import RawAnswers

Arrays = dict[str, npt.NDArray[np.generic]]

ANSWERED = ("in_float", "in_int8", "known_score")


class FoldAnswers:
    """Raw answers for N pictures, fold by fold, in an .npz file at ``path``.

    Its arrays: ``in_float`` and ``in_int8`` float32 [N, classes] and ``known_score`` float32 [N],
    NaN where not answered yet; ``truth`` and ``fold`` int64 [N]; ``names`` [N] (folder/file);
    ``recipe``, JSON. What the file holds already is taken up; raises UsageError where it is of
    another training.
    """

    def __init__(
        self, path: Path, recipe: Recipe, everything: LabelledSet, where: npt.NDArray[np.int64]
    ) -> None:
        self.path, self.where = path, where
        pictures, classes = everything.pictures, everything.taxonomy.classes
        blank = np.full((len(pictures), len(classes)), np.nan, np.float32)
        truth = np.array([p.label for p in pictures])
        self.raw = RawAnswers(blank, blank.copy(), blank[:, 0].copy(), truth)
        self.names = np.array([f"{p.path.parent.name}/{p.path.name}" for p in pictures])
        self.recipe = recipe
        if path.exists():
            self._load()
        else:
            self._save()  # so that other folds' checkpoints beside it are never taken for these

    def complete(self, fold: int) -> bool:
        """Whether each picture of ``fold`` is answered."""
        return not np.isnan(self.raw.in_int8[self.where == fold]).any()

    def add(self, fold: int, found: RawAnswers) -> None:
        """Enter and write the answers for the pictures of ``fold``, in their order."""
        for name in ANSWERED:
            getattr(self.raw, name)[self.where == fold] = getattr(found, name)
        self._save()

    def pooled(self) -> RawAnswers:
        """The answers for every picture that has been held out."""
        answered = ~np.isnan(self.raw.in_int8).any(axis=1)
        in_float, in_int8, known_score, truth = self.raw
        return RawAnswers(
            in_float[answered], in_int8[answered], known_score[answered], truth[answered]
        )

    def _load(self) -> None:
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                found: Arrays = dict(stored)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UsageError(f"{self.path} cannot be read, delete it: {error}") from error
        expected = self._arrays()
        same = found.keys() == expected.keys()
        same = same and _answers_alike(read_back(str(found["recipe"])), self.recipe)
        for name in ("names", "truth", "fold"):
            same = same and np.array_equal(found[name], expected[name])
        if not same or found["in_int8"].shape != self.raw.in_int8.shape:
            raise UsageError(
                f"{self.path} is of another recipe, data set or number of folds: delete it and "
                "the folds' checkpoints beside it, or name another --out"
            )
        for name in ANSWERED:
            np.copyto(getattr(self.raw, name), found[name])

    def _arrays(self) -> Arrays:
        described = {"names": self.names, "fold": self.where}
        return described | {"recipe": np.array(self.recipe.model_dump_json())} | self.raw._asdict()

    def _save(self) -> None:
        """Write the file, whole or not at all."""
        unfinished = self.path.with_suffix(".part")
        with unfinished.open("wb") as file:
            np.savez(file, **self._arrays())  # type: ignore[arg-type]  # numpy's allow_pickle
        os.replace(unfinished, self.path)


def _answers_alike(one: Recipe | None, other: Recipe) -> bool:
    """Whether models of both recipes answer alike: thresholds are set only afterwards."""
    later = {"export": {"known_quantile", "answer_precision"}}
    return one is not None and one.model_dump(exclude=later) == other.model_dump(exclude=later)
