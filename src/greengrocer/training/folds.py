"""Out-of-fold answers: each image's by a model that trained on nothing of its scene."""

from tqdm import tqdm

from greengrocer.training.fold_answers import FoldAnswers
from greengrocer.training.job import TrainingJob, fold_stage
from greengrocer.training.plan import Plan
from greengrocer.training.release.finish import RawAnswers, answer_raw, export, published


def out_of_fold(job: TrainingJob, plan: Plan, answers: FoldAnswers) -> RawAnswers:
    """Fit a model to all but one fold of the scenes, for each; pool what they answer.

    Images of classes with one scene are missing from the pool. Beside the bundle lie a checkpoint
    for each fold and ``<out>.out_of_fold.npz`` with the ``answers`` so far: a rerun goes on from
    them. Raises UsageError where a fit is refused.
    """
    assert plan.folds is not None
    answers.begin()
    for fold in range(plan.folds.number):
        if answers.complete(fold):  # or empty, where scenes are few
            continue
        stage, held_out = fold_stage(fold, plan.folds.number), plan.folds.held_out(fold)
        tqdm.write(f"{stage}: {len(held_out)} images held out")
        training = plan.fits[stage]
        fitted = job.fit(stage, plan.taxonomy, training)
        network, _ = published(fitted.network, job.recipe)
        answers.add(fold, answer_raw(export(network, training, job.recipe), held_out))
    return answers.pooled()
