"""From labelled images and a recipe to a bundle: fit, export, quantise, calibrate, save."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from greengrocer.bundles.save import check_new
from greengrocer.errors import UsageError
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.device import choose_device
from greengrocer.networks.weights import prototypes_to_float16
from greengrocer.serving.resources import usable_processors
from greengrocer.training.bundling import Finished, write_bundle
from greengrocer.training.job import HOLD_OUT, REFIT, TrainingJob, fold_stage
from greengrocer.training.learning.checkpoint import TeacherId
from greengrocer.training.learning.precision import choose_precision
from greengrocer.training.out_of_fold import FoldAnswers, out_of_fold
from greengrocer.training.plan import Plan, plan
from greengrocer.training.recipe import Recipe
from greengrocer.training.rehearsal import check_writable, rehearse
from greengrocer.training.release.finish import answer_raw, calibrate, export, published
from greengrocer.training.release.goldens import GOLDENS, built_in_pictures
from greengrocer.training.release.quantisation_loss import (
    check_agreement,
    check_held_out,
    check_out_of_fold,
)


def train(
    recipe: Recipe,
    data: Path,
    out: Path,
    device: str = "auto",
    goldens: Path | None = None,
    folds: int | None = None,
    teachers: Sequence[Path] = (),
    command: str = "the same training",
) -> Path:
    """Train ``recipe`` on the images below ``data``, write the bundle ``out`` and return it.

    The state of each fit is kept in ``<out>.*checkpoint.pt``: a rerun goes on from there. With
    ``folds``, no image is held out from the model that ships: it is calibrated by what as many
    others answer for the scenes that they did not see. ``teachers`` are the outs of earlier
    trainings on the same data, in the same folds; the networks learn from theirs. ``command`` is
    what messages say to run to continue later.

    Goldens are taken from the JPEGs in the folder ``goldens``, else from the built-in gallery, else
    (for classes that it does not show) from the data set's images, held-out ones where there are
    any.

    Raises UsageError for whatever is wrong with ``out``, ``device``, the data or the result; before
    the first step for all that can be known by then.
    """
    check_new(out)
    if bool(teachers) != bool(recipe.distillation.weight):
        raise UsageError(
            "--teacher and a distillation.weight above 0 in the recipe need each other: give both, "
            "or neither"
        )
    make_backbone(recipe.backbone)  # refused before the images are read
    target = choose_device(device)
    stages = (HOLD_OUT,) if folds is None else (*_fold_stages(folds), REFIT)
    check_writable(out, stages)
    threads = usable_processors()
    torch.set_num_threads(min(torch.get_num_threads(), threads))
    job = TrainingJob(recipe, data, out, target.type, threads, tuple(teachers))
    planned = plan(job, folds)
    candidates = _candidates(planned, goldens)
    taught = {
        stage: job.check(stage, planned.taxonomy, pictures)
        for stage, pictures in planned.fits.items()
    }
    answers = _answers(job, planned, taught)
    shipped = list(taught.values())[-1]
    asked = recipe.optimisation.precision
    job = job._replace(precision=choose_precision(asked, job.device, job.begun(stages)))
    rehearse(job, planned, shipped, candidates)
    with _kept(job, stages, command):
        if answers is None:
            finished = _train_holding_out(job, planned)
        else:
            finished = _train_on_all(job, planned, answers)
        write_bundle(recipe, planned, finished, shipped, candidates, out)
    return out


def _fold_stages(folds: int) -> list[str]:
    return [fold_stage(fold, folds) for fold in range(folds)]


def _answers(
    job: TrainingJob, planned: Plan, taught: dict[str, tuple[TeacherId, ...]]
) -> FoldAnswers | None:
    """What the folds have answered so far; None without folds. Raises UsageError for others'."""
    if planned.folds is None:
        return None
    teachers = [each for stage, found in taught.items() if stage != REFIT for each in found]
    path = job.out.with_name(f"{job.out.name}.out_of_fold.npz")
    return FoldAnswers(path, job.recipe, planned.folds, teachers)


def _train_holding_out(job: TrainingJob, planned: Plan) -> Finished:
    """One fit, judged and calibrated on images that it did not see."""
    recipe, taxonomy = job.recipe, planned.taxonomy
    fitted = job.fit(HOLD_OUT, taxonomy, planned.shipped)
    network, weights = published(fitted.network, recipe)
    exported = export(network, planned.shipped, recipe)
    weights |= prototypes_to_float16(exported.prototypes)
    raw = answer_raw(exported, planned.held_out)
    calibration = calibrate(raw, taxonomy.coarse_of, recipe, check_held_out, "held_out")
    graph = exported.graph(calibration.temperature, taxonomy.coarse_of)
    origin = network.backbone.pretrained_origin
    return Finished(weights, graph, calibration, fitted.device, fitted.precision, origin)


def _train_on_all(job: TrainingJob, planned: Plan, answers: FoldAnswers) -> Finished:
    """A fit for each fold to calibrate by, then one to all images, which ships."""
    recipe, taxonomy, pictures = job.recipe, planned.taxonomy, planned.shipped
    pooled = out_of_fold(job, planned, answers)
    calibration = calibrate(pooled, taxonomy.coarse_of, recipe, check_out_of_fold, "out_of_fold")
    fitted = job.fit(REFIT, taxonomy, pictures)
    network, weights = published(fitted.network, recipe)
    exported = export(network, pictures, recipe)
    weights |= prototypes_to_float16(exported.prototypes)
    # It has seen them all, so whether it is right says nothing; whether int8 agrees, something.
    seen = answer_raw(exported, pictures).compare()
    check_agreement(seen)
    calibration.metrics["refit_int8_agreement"] = seen.agreement
    graph = exported.graph(calibration.temperature, taxonomy.coarse_of)
    origin = network.backbone.pretrained_origin
    return Finished(weights, graph, calibration, fitted.device, fitted.precision, origin)


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
