"""Out-of-fold answers: each picture's by a model that trained on nothing of its scene."""

import numpy as np
from tqdm import tqdm

from greengrocer.datasets.labelled import LabelledSet
from greengrocer.errors import DatasetUnusable
from greengrocer.training.fold_answers import FoldAnswers
from greengrocer.training.pictures.looks import looks_of
from greengrocer.training.pictures.scenes import NEVER_HELD_OUT, group_scenes, scene_folds
from greengrocer.training.release.finish import RawAnswers, answer_raw, export, published
from greengrocer.training.work import Work, fold_stage


def out_of_fold(work: Work, everything: LabelledSet, folds: int) -> RawAnswers:
    """Fit a model to all but one fold of the scenes, ``folds`` times; pool what they answer.

    Pictures of classes with one scene are missing from the pool. Beside the bundle lie a checkpoint
    for each fold and ``<out>.out_of_fold.npz`` with the answers so far: a rerun goes on from them.

    Raises UsageError where they are of another training, DatasetUnusable where nothing can be held
    out.
    """
    recipe, pictures = work.recipe, everything.pictures
    scenes = group_scenes(pictures, looks_of(pictures, recipe))
    where = np.array(scene_folds(pictures, scenes, folds, recipe.seed))
    if (where == NEVER_HELD_OUT).all():
        raise DatasetUnusable("too few pictures for folds: no class has two scenes")
    path = work.out.with_name(f"{work.out.name}.out_of_fold.npz")
    answers = FoldAnswers(path, recipe, everything, where)
    for fold in range(folds):
        if answers.complete(fold):  # or empty, where scenes are few
            continue
        stage = fold_stage(fold, folds)
        tqdm.write(f"{stage}: {np.count_nonzero(where == fold)} pictures held out")
        training = [pictures[int(index)] for index in np.flatnonzero(where != fold)]
        held_out = [pictures[int(index)] for index in np.flatnonzero(where == fold)]
        trained = work.fit(stage, everything.taxonomy, training)
        network, _ = published(trained, recipe)
        answers.add(fold, answer_raw(export(network, training, recipe), held_out))
    return answers.pooled()
