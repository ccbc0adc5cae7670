"""A folder of photos becomes a bundle without a recipe: checked, planned, trained, written."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from greengrocer.bundles.manifest import MANIFEST
from greengrocer.datachecks.check import Report, check
from greengrocer.datachecks.hold_out import HoldOut, read_hold_out, write_hold_out
from greengrocer.datachecks.problems import problem_lines
from greengrocer.datasets.dataset import Dataset
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.networks.backbone import make_backbone
from greengrocer.networks.device import choose_device
from greengrocer.safe_text import one_line
from greengrocer.serving.resources import usable_processors
from greengrocer.training.choose import (
    LARGE_NETWORK,
    NETWORK,
    DatasetFacts,
    Estimate,
    StepCost,
    choose_recipe,
    estimate,
)
from greengrocer.training.data.photo_split import split
from greengrocer.training.data.splits import OWN_SPLIT, Splits
from greengrocer.training.durable import replace_durably
from greengrocer.training.job import HOLD_OUT, REFIT, checkpoint, judged_path
from greengrocer.training.learning.course import TimeLimit
from greengrocer.training.learning.fit import spoken
from greengrocer.training.learning.precision import Precision
from greengrocer.training.measured_step import Way, Work, fastest_way, measure
from greengrocer.training.recipe import Recipe, as_toml, read_recipe
from greengrocer.training.train import train

SEED = 7
MOST_CHOICES = 3  # a step of the chosen recipe is measured, which may change the choice


class Asked(NamedTuple):
    """What a person gave; ``command`` is the command line that goes on with it.

    ``minutes`` count from ``began``, a time of ``time.monotonic``.
    ``coarse`` and ``exclude`` are those of ``datasets.layouts.read.read_collection``.
    """

    photos: Path
    out: Path
    minutes: float | None
    seed: int | None
    device: str
    command: str
    began: float
    coarse: str | None = None
    exclude: tuple[str, ...] = ()
    network: str | None = None  # instead of the one that would be chosen

    def minutes_left(self) -> float | None:
        """What is left of ``minutes``, perhaps below 0."""
        spent = (time.monotonic() - self.began) / 60
        return None if self.minutes is None else self.minutes - spent


class Trained(NamedTuple):
    """The bundle, the images that were held out, and the bundle that they can judge.

    ``judged`` is ``bundle`` itself but where that has learned from the held-out images as well.
    """

    bundle: Path
    held_out: Dataset
    judged: Path


def train_photos(asked: Asked, say: Callable[[str], None]) -> Trained:
    """Check the photos, choose a recipe, say what will be done, and do it.

    The recipe is written to ``<out>.recipe.toml``, the hold-out to ``<out>.hold-out.csv``. A run
    that was stopped goes on with them. Raises UsageError for whatever is wrong with the photos or
    with ``out``.
    """
    if asked.network is not None:
        make_backbone(asked.network)  # refused before the images are read
    report = check(asked.photos, coarse=asked.coarse, exclude=asked.exclude)
    for line in _found(report):
        say(line)
    if not report.trainable:
        raise DatasetUnusable(f"{asked.photos} cannot be trained on: see the errors above")
    finished = (asked.out / MANIFEST).is_file()
    begun = recipe_path(asked.out).is_file() and (
        finished or checkpoint(asked.out, HOLD_OUT).exists()
    )
    splits = split(report, _seed(asked), _earlier(asked.out, report) if begun else {})
    held_out = Dataset(splits.taxonomy, splits.held_out)
    if finished and begun and not _reported(asked.out):
        return _trained(asked.out, held_out)  # it was stopped before the report
    if finished:
        raise UsageError(
            f"{asked.out} is a finished bundle: `greengrocer serve --bundle {asked.out}` serves "
            "it; to train again delete it and the checkpoints beside it, or name another --out"
        )
    recipe, precision, limits = _recipe(asked, splits, say, begun=begun)
    if not (begun and hold_out_path(asked.out).is_file()):
        _write_hold_out(asked.out, report, splits)
    train(
        recipe,
        asked.photos,
        asked.out,
        asked.device,
        splits=splits,
        command=asked.command,
        precision=precision,
        limits=limits,
        keep_judged=True,
    )
    return _trained(asked.out, held_out)


def _trained(out: Path, held_out: Dataset) -> Trained:
    judged = judged_path(out)
    return Trained(out, held_out, judged if _refitted(out) else out)


def _refitted(out: Path) -> bool:
    """Whether the bundle of a first model waits for its report; its manifest goes first."""
    refit = read_recipe(recipe_path(out)).data.refit
    return refit and (judged_path(out) / MANIFEST).is_file()


def _reported(out: Path) -> bool:
    """Whether nothing is left to do: the report is written, and what it judged has gone."""
    if read_recipe(recipe_path(out)).data.refit:
        return not _refitted(out)
    return (out / "report" / "index.html").exists()


def facts_of(splits: Splits, name: str) -> DatasetFacts:
    """What the choice of a recipe depends on."""
    counts = Counter(image.label for image in splits.training)
    each = tuple(counts[label] for label in range(len(splits.taxonomy.classes)))
    hierarchy = splits.taxonomy.coarse is not None
    own_split = splits.origin == OWN_SPLIT
    return DatasetFacts(slug(name), each, len(splits.held_out), hierarchy, own_split)


def slug(name: str) -> str:
    """``name`` as a recipe may be called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "photos"


def recipe_path(out: Path) -> Path:
    """Where the recipe of the training of ``out`` is written."""
    return out.with_name(f"{out.name}.recipe.toml")


def hold_out_path(out: Path) -> Path:
    """Where it is written which images the training of ``out`` holds out."""
    return out.with_name(f"{out.name}.hold-out.csv")


def _seed(asked: Asked) -> int:
    return SEED if asked.seed is None else asked.seed


def _earlier(out: Path, report: Report) -> dict[Path, str]:
    """How a training that has begun split the images; empty where the folder's splits do."""
    path = hold_out_path(out)
    return read_hold_out(path, report.collection.root) if path.is_file() else {}


def _recipe(
    asked: Asked, splits: Splits, say: Callable[[str], None], *, begun: bool
) -> tuple[Recipe, Precision | None, dict[str, TimeLimit]]:
    """The recipe that a stopped run began with, else one that is chosen and written now.

    And the precision in which a step is fastest, None where the run has begun in one; and the time
    that each stage has, with ``--minutes``. PyTorch is left with as many threads as are
    fastest now.
    """
    path = recipe_path(asked.out)
    if begun:
        recipe = read_recipe(path)
        if asked.seed not in (None, recipe.seed):
            raise UsageError(
                f"{asked.out} was begun with the seed {recipe.seed}: go on with it, or name "
                "another --out"
            )
        if asked.network not in (None, recipe.backbone):
            raise UsageError(
                f"{asked.out} was begun with the network {recipe.backbone}: go on with it, or name "
                "another --out"
            )
        say(f"going on with the training that was stopped, by its recipe {path}")
        way, step, _ = fastest_way(_work(asked, splits))
        torch.set_num_threads(way.threads)
        facts = facts_of(splits, asked.out.name)
        return recipe, None, _limits(asked, estimate(recipe, facts, step))
    chosen = _choose(asked, splits)
    for line in _told(chosen, splits, asked):
        say(line)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = as_toml(chosen.recipe, f"Chosen by: {asked.command.strip('`')}")
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_text(told, encoding="utf-8")
    replace_durably(unfinished, path)
    say(f"  recipe    {path}")
    planned = estimate(chosen.recipe, chosen.facts, chosen.step)
    return chosen.recipe, chosen.way.precision, _limits(asked, planned)


def _limits(asked: Asked, planned: Estimate) -> dict[str, TimeLimit]:
    """The time of each stage; empty without ``--minutes``."""
    if asked.minutes is None:
        return {}
    end, rest = asked.began + 60 * asked.minutes, planned.export + planned.again_export
    return {
        HOLD_OUT: TimeLimit(end, planned.epochs, rest, planned.again / planned.epochs),
        REFIT: TimeLimit(end, planned.again, planned.again_export),
    }


class Chosen(NamedTuple):
    """A recipe, the step that was measured of it, how it is computed, and what else was tried."""

    recipe: Recipe
    facts: DatasetFacts
    step: StepCost
    way: Way
    tried: dict[Way, float]


def _choose(asked: Asked, splits: Splits) -> Chosen:
    """Choose how to compute, and a recipe; PyTorch is left with as many threads as are fastest."""
    work = _work(asked, splits)
    way, step, tried = fastest_way(work)
    torch.set_num_threads(way.threads)
    facts = facts_of(splits, asked.out.name)
    recipe = _fitting(asked, facts, step)
    for _ in range(MOST_CHOICES):
        step = measure(recipe, work, way)
        before, recipe = recipe, _fitting(asked, facts, step)
        if _step_of(before) == _step_of(recipe):
            break
    return Chosen(recipe, facts, step, way, tried)


def _work(asked: Asked, splits: Splits) -> Work:
    loaders = usable_processors()
    torch.set_num_threads(min(torch.get_num_threads(), loaders))
    device = choose_device(asked.device).type
    return Work(splits.taxonomy, splits.training, device, loaders)


def _fitting(asked: Asked, facts: DatasetFacts, step: StepCost) -> Recipe:
    """The recipe for the time that is left; one stage of a named network learns at least."""
    recipe = choose_recipe(facts, step, asked.minutes_left(), _seed(asked), asked.network)
    if asked.network is None:
        return recipe
    how, stages = recipe.optimisation, make_backbone(asked.network).stages()
    fewer = how.model_copy(update={"frozen_stages": min(how.frozen_stages, len(stages) - 1)})
    return recipe.model_copy(update={"optimisation": fewer})


def _step_of(recipe: Recipe) -> tuple[str, int]:
    """What decides the cost of an image's step; the size of a batch hardly does."""
    return recipe.backbone, recipe.augmentation.image_size


def _write_hold_out(out: Path, report: Report, splits: Splits) -> None:
    if "val" not in report.splits:
        images = [*splits.training, *splits.held_out]
        sides = (False,) * len(splits.training) + (True,) * len(splits.held_out)
        path = hold_out_path(out)
        unfinished = path.with_name(f"{path.name}.part")
        write_hold_out(unfinished, report.collection.root, images, HoldOut(sides, ()))
        replace_durably(unfinished, path)


def _found(report: Report) -> Iterator[str]:
    counts = [each.images for each in report.classes()]
    yield (
        f"{report.source}: {len(report.images):,} images of {len(counts):,} "
        f"class{'es' if len(counts) != 1 else ''}, "
        f"{min(counts, default=0):,} to {max(counts, default=0):,} a class"
    )
    yield from (f"  {line}" for line in problem_lines(report.problems, report.source))


def _told(chosen: Chosen, splits: Splits, asked: Asked) -> Iterator[str]:
    """The plan."""
    recipe, facts, step = chosen.recipe, chosen.facts, chosen.step
    how, export, left = recipe.optimisation, recipe.export, asked.minutes_left()
    sampling = ", those of small classes more often" if how.class_balance else ""
    seconds = estimate(recipe, facts, step).total
    each = step.image(recipe.backbone, recipe.augmentation.image_size) * how.batch_size
    frozen = f"; its first {how.frozen_stages} stages stay as they are" if how.frozen_stages else ""
    yield "The plan:"
    yield f"  train     {facts.images:,} images{sampling}"
    yield f"  hold out  {facts.held_out:,} images, to judge and to calibrate by ({splits.origin})"
    if recipe.data.refit:
        yield f"  then      train once more, on all {facts.all_images:,} images: that one ships"
    yield f"  network   {recipe.backbone}, {_learned(recipe)}{frozen}"
    yield f"  size      {recipe.augmentation.image_size} pixels, in use {export.image_size}"
    yield f"  epochs    {how.epochs}; each goes through all images, {how.batch_size} a step"
    yield f"  computed  {_computed(chosen)}"
    yield f"  time      about {spoken(seconds)} from now: a step takes {each:.2g} s here"
    if asked.minutes is not None and left is not None and seconds > 60 * left:
        yield (
            f"  warning: nothing smaller fits into {asked.minutes:g} minutes; --quick takes about "
            "one"
        )


def _learned(recipe: Recipe) -> str:
    if recipe.backbone in (NETWORK, LARGE_NETWORK):
        return "which has learned from ImageNet's photos"
    return "with the pretrained weights that it comes with"


def _computed(chosen: Chosen) -> str:
    """Such as "in bfloat16 by 2 threads, the best of 3 ways here (a small step takes ...)"."""
    way, tried = chosen.way, chosen.tried
    threads = f" by {way.threads} thread{'s' if way.threads > 1 else ''}"
    told = f"in {way.precision}{threads if chosen.step.device == 'cpu' else ''}"
    if len(tried) == 1:
        return told
    slower = [f"{seconds:.2g}" for each, seconds in tried.items() if each != way]
    return (
        f"{told}, the best of {len(tried)} ways here (a small step takes {tried[way]:.2g} s, "
        f"else {' or '.join(slower)} s)"
    )


def announce(line: str) -> None:
    """Print ``line``, made safe for a terminal, without breaking a progress bar."""
    tqdm.write(one_line(line))
