"""What a training will do: which images each of its fits sees, and which it is judged by."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from greengrocer.bundles.attribution import GROCERY
from greengrocer.datasets.dataset import (
    Dataset,
    LabelledImage,
    Taxonomy,
    is_grocery_store_dataset,
)
from greengrocer.errors import DatasetUnusable
from greengrocer.training.data.embeddings import embed_images
from greengrocer.training.data.reading import read_all
from greengrocer.training.data.scenes import NEVER_HELD_OUT, group_scenes, scene_folds
from greengrocer.training.data.shops import shop_folds
from greengrocer.training.data.splits import OWN_SPLIT, Splits, read_splits, read_together
from greengrocer.training.job import HOLD_OUT, REFIT, TrainingJob, fold_stage

Pictures = Sequence[LabelledImage]


class Folds(NamedTuple):
    """Their number, the images of all, and the fold of each: int64 [N]."""

    number: int
    everything: Dataset
    where: npt.NDArray[np.int64]

    def held_out(self, fold: int) -> list[LabelledImage]:
        """The images of ``fold``."""
        return [
            self.everything.pictures[int(index)] for index in np.flatnonzero(self.where == fold)
        ]


class Plan(NamedTuple):
    """``fits`` has the images of each fit by its stage; the last is the one that ships.

    ``held_out`` are images that the network of the first fit is judged by; with ``folds``, all.
    ``origin`` says, for the provenance, what trains and what is answered unseen.
    """

    taxonomy: Taxonomy
    fits: Mapping[str, Pictures]
    held_out: Pictures
    origin: dict[str, Any]
    folds: Folds | None = None

    @property
    def shipped(self) -> Pictures:
        """The images that train the network that ships."""
        return list(self.fits.values())[-1]

    def judged(self) -> "Plan":
        """The plan of its first fit alone: whatever is held out judges it."""
        training = self.fits[HOLD_OUT]
        counted = {"pictures": len(training)}
        origin = {key: value for key, value in self.origin.items() if key != "out_of_fold"}
        origin |= {"training": self.origin["training"] | counted}
        source = self.origin["out_of_fold"]["split"]
        held_out = _held_out(self.held_out, source)
        return self._replace(fits={HOLD_OUT: training}, origin=origin | held_out)


def plan(job: TrainingJob, folds: int | None, splits: Splits | None = None) -> Plan:
    """Read the data and decide; every image has been read, and has its digest.

    Raises DatasetUnusable for whatever is wrong with the data.
    """
    return _holding_out(job, splits) if folds is None else _in_folds(job, folds)


def _holding_out(job: TrainingJob, splits: Splits | None) -> Plan:
    taxonomy, training, held_out, source = splits or read_splits(job.data, job.recipe)
    if splits is None:
        read = read_all([*training, *held_out], job.threads)
        training, held_out = read[: len(training)], read[len(training) :]
    if not job.recipe.data.refit or source == OWN_SPLIT:
        origin = _trained_on(job, training) | _held_out(held_out, source)
        return Plan(taxonomy, {HOLD_OUT: training}, held_out, origin)
    everything = [*training, *held_out]
    origin = _trained_on(job, everything)
    origin["out_of_fold"] = {"folds": 1, "pictures": len(held_out), "split": source}
    return Plan(taxonomy, {HOLD_OUT: training, REFIT: everything}, held_out, origin)


def _held_out(held_out: Pictures, source: str) -> dict[str, Any]:
    return {"held_out": {"split": source, "pictures": len(held_out)}}


def _in_folds(job: TrainingJob, count: int) -> Plan:
    recipe = job.recipe
    found = read_together(job.data, recipe.data.splits)
    pictures = read_all(found.pictures, job.threads)
    found_alike = embed_images(pictures, recipe)
    scenes = group_scenes(pictures, found_alike.embeddings)
    if recipe.data.folds == "shops":
        in_folds = shop_folds(pictures, scenes, found_alike.styles, count, recipe.split_seed)
    else:
        in_folds = scene_folds(pictures, scenes, count, recipe.split_seed)
    where = np.array(in_folds)
    if (where == NEVER_HELD_OUT).all():
        raise DatasetUnusable("too few images for folds: no class has two scenes")
    folds = Folds(count, Dataset(found.taxonomy, pictures), where)
    fits = {
        fold_stage(fold, count): [pictures[int(index)] for index in np.flatnonzero(where != fold)]
        for fold in range(count)
        if (where == fold).any()  # or empty, where scenes are few
    }
    origin = _trained_on(job, pictures)
    judged = int(np.count_nonzero(where != NEVER_HELD_OUT))
    origin["out_of_fold"] = {"folds": count, "of": recipe.data.folds, "pictures": judged}
    return Plan(found.taxonomy, {**fits, REFIT: pictures}, pictures, origin, folds)


def _trained_on(job: TrainingJob, pictures: Pictures) -> dict[str, Any]:
    split = " + ".join(job.recipe.data.splits)
    origin: dict[str, Any] = {"training": {"split": split, "pictures": len(pictures)}}
    if is_grocery_store_dataset(job.data):
        origin["dataset"] = GROCERY._asdict()
    return origin
