"""From labelled images and a recipe to a bundle: fit, export, quantise, calibrate, save."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from greengrocer.bundles.save import check_new
from greengrocer.errors import UsageError
from greengrocer.graphs.quantisation_ladder import LADDER
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.device import choose_device
from greengrocer.networks.weights import Halves, prototypes_to_float16
from greengrocer.serving.resources import usable_processors
from greengrocer.training.bundling import Finished, write_bundle
from greengrocer.training.data.splits import Splits
from greengrocer.training.job import (
    HOLD_OUT,
    REFIT,
    TrainingJob,
    checkpoint,
    fold_stage,
    judged_path,
    remove_judged,
)
from greengrocer.training.learning.checkpoint import TeacherId
from greengrocer.training.learning.course import TimeLimit
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.learning.precision import Precision, choose_precision
from greengrocer.training.out_of_fold import FoldAnswers, out_of_fold
from greengrocer.training.plan import Plan, plan
from greengrocer.training.recipe import Recipe
from greengrocer.training.rehearsal import check_writable, rehearse
from greengrocer.training.release.finish import (
    Calibration,
    Exported,
    Exporter,
    calibrate,
    published,
)
from greengrocer.training.release.goldens import GOLDENS, built_in_pictures
from greengrocer.training.release.ladder import told
from greengrocer.training.release.quantisation_loss import agree_too_little, costs_too_much
from greengrocer.training.release.replay import replay


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str = "auto",
    goldens: Path | None = None,
    folds: int | None = None,
    teachers: Sequence[Path] = (),
    splits: Splits | None = None,
    command: str = "the same training",
    precision: Precision | None = None,
    limits: Mapping[str, TimeLimit] | None = None,
    *,
    keep_judged: bool = False,
) -> Path:
    """Train ``recipe`` on the images below ``data``, write the bundle ``out`` and return it.

    The state of each fit is kept in ``<out>.*checkpoint.pt``: a rerun goes on from there. With
    ``folds``, no image is held out from the model that ships: it is calibrated by what as many
    others answer for the scenes that they did not see. ``teachers`` are the outs of earlier
    trainings on the same data, in the same folds; the networks learn from theirs. ``command`` is
    what messages say to run to continue later.

    ``splits`` are the images where they have been read and split already; without folds.
    ``precision`` is what was found to be the fastest; without it, recipe and processor decide.
    Where the epochs of a stage would end too late for its limit of ``limits``, there are fewer;
    without folds.

    Where the recipe refits, the bundle of the first model is deleted but with ``keep_judged``.

    Goldens are taken from the JPEGs in the folder ``goldens``, else from the built-in gallery, else
    (for classes that it does not show) from the data set's images, held-out ones where there are
    any.

    Raises UsageError for whatever is wrong with ``out``, ``device``, the data or the result; before
    the first step for all that can be known by then.
    """
    stages = _stages(recipe, folds)
    job = _job(recipe, data, out, device, stages, teachers)._replace(limits=limits or {})
    planned = plan(job, folds, splits)
    candidates = _candidates(planned, goldens)
    taught = {
        stage: job.check(stage, planned.taxonomy, pictures)
        for stage, pictures in planned.fits.items()
    }
    answers = _answers(job, planned, taught)
    shipped = list(taught.values())[-1]
    job = job._replace(precision=precision or _precision(job, stages))
    rehearse(job, planned, shipped, candidates)
    with _kept(job, stages, command):
        if answers is not None:
            finished = _train_in_folds(job, planned, answers)
        elif REFIT in planned.fits:
            finished = _train_twice(job, planned, taught[HOLD_OUT], candidates)
        else:
            finished = _train_holding_out(job, planned).finished
        write_bundle(recipe, planned, finished, shipped, candidates, out, replay)
    if answers is None and REFIT in planned.fits and not keep_judged:
        remove_judged(out)
    return out


def _precision(job: TrainingJob, stages: Sequence[str]) -> Precision:
    asked = job.recipe.optimisation.precision
    return choose_precision(asked, job.device, job.begun(stages))


def _job(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str,
    stages: Sequence[str],
    teachers: Sequence[Path],
) -> TrainingJob:
    """Check all that can be known before the images are read, and say what is to be done."""
    check_new(out)
    if bool(teachers) != bool(recipe.distillation.weight):
        raise UsageError(
            "--teacher and a distillation.weight above 0 in the recipe need each other: give both, "
            "or neither"
        )
    make_backbone(recipe.backbone)
    target = choose_device(device)
    check_writable(out, stages)
    if HOLD_OUT in stages and REFIT in stages and not checkpoint(out, HOLD_OUT).exists():
        check_new(judged_path(out))  # a run that goes on writes it again
    threads = usable_processors()
    torch.set_num_threads(min(torch.get_num_threads(), threads))
    return TrainingJob(recipe, data, out, target.type, threads, tuple(teachers))


def _stages(recipe: Recipe, folds: int | None) -> tuple[str, ...]:
    if folds is None:
        return (HOLD_OUT, REFIT) if recipe.data.refit else (HOLD_OUT,)
    return (*(fold_stage(fold, folds) for fold in range(folds)), REFIT)


def _answers(
    job: TrainingJob, planned: Plan, taught: dict[str, tuple[TeacherId, ...]]
) -> FoldAnswers | None:
    """What the folds have answered so far; None without folds. Raises UsageError for others'."""
    if planned.folds is None:
        return None
    teachers = [each for stage, found in taught.items() if stage != REFIT for each in found]
    path = job.out.with_name(f"{job.out.name}.out_of_fold.npz")
    return FoldAnswers(path, job.recipe, planned.folds, teachers)


class Judged(NamedTuple):
    """A network that was judged by images which it did not see, and the rung of the gate."""

    finished: Finished
    rung: int
    epochs: int


def _train_holding_out(job: TrainingJob, planned: Plan, source: str = "held_out") -> Judged:
    """One fit, judged and calibrated on images that it did not see.

    The names of the metrics begin with ``source``.
    """
    recipe, taxonomy, training = job.recipe, planned.taxonomy, planned.fits[HOLD_OUT]
    fitted = job.fit(HOLD_OUT, taxonomy, training, planned.held_out)
    network, weights = published(fitted.network, recipe, training)
    kept = job.judged_attempts if REFIT in planned.fits else job.kept_attempts
    exporter = Exporter(network, training, recipe, kept)
    rung, attempts = exporter.climb(planned.held_out, costs_too_much)
    exported = exporter.finish(attempts[-1].backbone)
    raw = exporter.answer(exported, planned.held_out)
    shipped = exported.backbone.precision
    calibration = calibrate(raw, taxonomy.coarse_of, recipe, source, shipped)
    tried = told(attempts)
    finished = _finished(job, planned, fitted, weights, exported, calibration, tried)
    return Judged(finished, rung, fitted.epochs)


def _train_twice(
    job: TrainingJob, planned: Plan, teachers: Sequence[TeacherId], candidates: Sequence[Path]
) -> Finished:
    """A fit that the held-out images judge and calibrate, then one to all images, which ships.

    The bundle of the first is kept for the report on the held-out images.
    """
    judged = _train_holding_out(job, planned, "out_of_fold")
    path = judged_path(job.out)
    remove_judged(job.out)  # a run that was stopped wrote it
    write_bundle(job.recipe, planned.judged(), judged.finished, teachers, candidates, path, replay)
    tqdm.write(f"learning from all {len(planned.shipped):,} images, the held-out ones as well")
    calibration, tried = judged.finished.calibration, judged.finished.quantisation["attempts"]
    fitted = job.fit(REFIT, planned.taxonomy, planned.shipped, epochs=judged.epochs)
    shown = fitted._replace(curve=tuple(judged.finished.curve))
    return _all_fitted(job, planned, shown, calibration, judged.rung, tried)


def _train_in_folds(job: TrainingJob, planned: Plan, answers: FoldAnswers) -> Finished:
    """A fit for each fold to calibrate by, then one to all images, which ships."""
    pooled = out_of_fold(job, planned, answers)
    coarse_of, precision = planned.taxonomy.coarse_of, LADDER[answers.rung].precision
    calibration = calibrate(pooled, coarse_of, job.recipe, "out_of_fold", precision)
    fitted = job.fit(REFIT, planned.taxonomy, planned.shipped)
    return _all_fitted(job, planned, fitted, calibration, answers.rung, answers.tried)


def _all_fitted(
    job: TrainingJob,
    planned: Plan,
    fitted: Fitted,
    calibration: Calibration,
    rung: int,
    tried: Sequence[Mapping[str, Any]],
) -> Finished:
    """What ships of a network that was fitted to all images; the gate goes on from ``rung``."""
    network, weights = published(fitted.network, job.recipe, planned.shipped)
    exporter = Exporter(network, planned.shipped, job.recipe, job.kept_attempts)
    # It has seen them all, so whether it is right says nothing; whether int8 agrees, something.
    _, attempts = exporter.climb(planned.shipped, agree_too_little, rung)
    exported, found = exporter.finish(attempts[-1].backbone), attempts[-1].found
    if exported.backbone.precision != "float32":
        name = f"refit_{exported.backbone.precision}_agreement"
        calibration.metrics[name] = found.agreement
    noted = told(attempts) | {"out_of_fold": tried}
    return _finished(job, planned, fitted, weights, exported, calibration, noted)


def _finished(
    job: TrainingJob,
    planned: Plan,
    fitted: Fitted,
    weights: dict[str, Halves],
    exported: Exported,
    calibration: Calibration,
    quantisation: dict[str, Any],
) -> Finished:
    return Finished(
        weights | prototypes_to_float16(exported.prototypes),
        exported.graph(calibration.temperature, planned.taxonomy.coarse_of),
        calibration,
        fitted.device,
        fitted.precision,
        make_backbone(job.recipe.backbone).pretrained_origin,
        quantisation,
        fitted.curve,
        exported.statistics(planned.taxonomy.classes),
    )


def _candidates(planned: Plan, folder: Path | None) -> list[Path]:
    """Images that may be goldens."""
    if folder is not None:
        found = sorted(folder.glob("*.jpg"))
        if not found:
            raise UsageError(f"{folder} holds no *.jpg to take goldens from")
        return found
    built_in = built_in_pictures(planned.taxonomy.classes)
    return built_in if len(built_in) >= GOLDENS else [p.path for p in planned.held_out]


@contextmanager
def _kept(job: TrainingJob, stages: Sequence[str], command: str) -> Iterator[None]:
    """On any error in the block, say what was kept, and how to continue from it."""
    try:
        yield
    except UsageError as error:
        kept = job.kept(stages)
        if not kept:
            raise
        raise UsageError(f"{error}; {_told(kept, command)}") from error
    except BaseException:
        kept = job.kept(stages)
        if kept:
            tqdm.write(f"greengrocer: {_told(kept, command)}", file=sys.stderr)
        raise


def _told(kept: Sequence[Path], command: str) -> str:
    return f"the training so far is kept in {', '.join(map(str, kept))}: continue with {command}"
