"""A folder of photos becomes a bundle without a recipe: checked, planned, trained, written."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from greengrocer.datachecks.check import Report, check
from greengrocer.datachecks.hold_out import HoldOut, write_hold_out
from greengrocer.datachecks.problems import Severity
from greengrocer.datasets.dataset import Dataset, LabelledImage
from greengrocer.errors import DatasetUnusable, UsageError
from greengrocer.networks.device import choose_device
from greengrocer.serving.resources import usable_processors
from greengrocer.training.choose import DatasetFacts, StepCost, choose_recipe, estimate
from greengrocer.training.data.splits import Splits, draw_held_out
from greengrocer.training.job import HOLD_OUT, checkpoint
from greengrocer.training.learning.fit import spoken
from greengrocer.training.learning.precision import Precision
from greengrocer.training.measured_step import Way, Work, fastest_way, measure
from greengrocer.training.recipe import Recipe, as_toml, read_recipe
from greengrocer.training.train import train

SEED = 7
EXAMPLES = 5  # of a problem, and of the smallest classes
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

    def minutes_left(self) -> float | None:
        """What is left of ``minutes``, perhaps below 0."""
        spent = (time.monotonic() - self.began) / 60
        return None if self.minutes is None else self.minutes - spent


class Trained(NamedTuple):
    """The bundle, and the images that were held out."""

    bundle: Path
    held_out: Dataset


def train_photos(asked: Asked, say: Callable[[str], None]) -> Trained:
    """Check the photos, choose a recipe, say what will be done, and do it.

    The recipe is written to ``<out>.recipe.toml``, the hold-out to ``<out>.hold-out.csv``. A run
    that was stopped goes on with them. Raises UsageError for whatever is wrong with the photos or
    with ``out``.
    """
    report = check(asked.photos, coarse=asked.coarse, exclude=asked.exclude)
    for line in _found(report):
        say(line)
    if not report.trainable:
        raise DatasetUnusable(f"{asked.photos} cannot be trained on: see the errors above")
    splits = split(report)
    held_out = Dataset(splits.taxonomy, splits.held_out)
    finished = (asked.out / "manifest.json").is_file()
    if finished and not (asked.out / "report").exists() and recipe_path(asked.out).exists():
        return Trained(asked.out, held_out)  # it was stopped before the report
    if finished:
        raise UsageError(
            f"{asked.out} is a finished bundle: `greengrocer serve --bundle {asked.out}` serves "
            "it; to train again delete it and the checkpoints beside it, or name another --out"
        )
    recipe, precision = _recipe(asked, splits, say)
    _write_hold_out(asked.out, report, splits)
    train(
        recipe,
        asked.photos,
        asked.out,
        asked.device,
        splits=splits,
        command=asked.command,
        precision=precision,
    )
    return Trained(asked.out, held_out)


def split(report: Report) -> Splits:
    """The images that train and those that are held out: the split "val", or whole groups.

    Of a class whose images are all alike, and so all in one group, a fifth is drawn. Raises
    DatasetUnusable where nothing can be held out.
    """
    sides: dict[bool, list[LabelledImage]] = {False: [], True: []}
    has_val = "val" in report.splits
    held = [each == "val" for each in report.splits]
    if not has_val and report.hold_out is not None:
        held = list(report.hold_out.held_out)
    for image, side, name in zip(report.images, held, report.splits, strict=True):
        if name != "test":
            sides[side].append(image)
    if has_val:
        origin = "the split val"
    else:
        origin = "about a fifth of each class, groups of alike images whole"
        alike = {p.label for p in sides[False]} ^ {p.label for p in sides[True]}
        if alike:
            origin += f"; of {len(alike):,} whose images are all alike, single images, too"
        whole = [p for part in sides.values() for p in part if p.label in alike]
        for side, drawn in zip((False, True), draw_held_out(whole, SEED), strict=True):
            sides[side] = [p for p in sides[side] if p.label not in alike] + list(drawn)
    if not sides[True]:
        raise DatasetUnusable(f"{report.source} holds too few images: no class has two")
    taxonomy = report.collection.taxonomy
    return Splits(taxonomy, tuple(sides[False]), tuple(sides[True]), origin)


def facts_of(splits: Splits, name: str) -> DatasetFacts:
    """What the choice of a recipe depends on."""
    counts = Counter(image.label for image in splits.training)
    each = tuple(counts[label] for label in range(len(splits.taxonomy.classes)))
    hierarchy = splits.taxonomy.coarse is not None
    return DatasetFacts(slug(name), each, len(splits.held_out), hierarchy)


def slug(name: str) -> str:
    """``name`` as a recipe may be called."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "photos"


def recipe_path(out: Path) -> Path:
    """Where the recipe of the training of ``out`` is written."""
    return out.with_name(f"{out.name}.recipe.toml")


def _recipe(
    asked: Asked, splits: Splits, say: Callable[[str], None]
) -> tuple[Recipe, Precision | None]:
    """The recipe that a stopped run began with, else one that is chosen and written now.

    And the precision in which a step is fastest; None where the run has begun in one.
    """
    path = recipe_path(asked.out)
    if path.is_file() and checkpoint(asked.out, HOLD_OUT).exists():
        recipe = read_recipe(path)
        if asked.seed not in (None, recipe.seed):
            raise UsageError(
                f"{asked.out} was begun with the seed {recipe.seed}: go on with it, or name "
                "another --out"
            )
        say(f"going on with the training that was stopped, by its recipe {path}")
        return recipe, None
    chosen = _choose(asked, splits)
    for line in _told(chosen, splits, asked):
        say(line)
    path.parent.mkdir(parents=True, exist_ok=True)
    told = as_toml(chosen.recipe, f"Chosen by: {asked.command.strip('`')}")
    path.write_text(told, encoding="utf-8")
    say(f"  recipe    {path}")
    return chosen.recipe, chosen.way.precision


class Chosen(NamedTuple):
    """A recipe, the step that was measured of it, how it is computed, and what else was tried."""

    recipe: Recipe
    facts: DatasetFacts
    step: StepCost
    way: Way
    tried: dict[Way, float]


def _choose(asked: Asked, splits: Splits) -> Chosen:
    """Choose how to compute, and a recipe; PyTorch is left with as many threads as are fastest."""
    device, loaders = choose_device(asked.device).type, usable_processors()
    torch.set_num_threads(min(torch.get_num_threads(), loaders))
    work = Work(splits.taxonomy, splits.training, device, loaders)
    way, step, tried = fastest_way(work)
    torch.set_num_threads(way.threads)
    facts, seed = facts_of(splits, asked.out.name), SEED if asked.seed is None else asked.seed
    recipe = choose_recipe(facts, step, asked.minutes_left(), seed)
    for _ in range(MOST_CHOICES):
        step = measure(recipe, work, way)
        before, recipe = recipe, choose_recipe(facts, step, asked.minutes_left(), seed)
        if _step_of(before) == _step_of(recipe):
            break
    return Chosen(recipe, facts, step, way, tried)


def _step_of(recipe: Recipe) -> tuple[str, int]:
    """What decides the cost of an image's step; the size of a batch hardly does."""
    return recipe.backbone, recipe.augmentation.image_size


def _write_hold_out(out: Path, report: Report, splits: Splits) -> None:
    if "val" not in report.splits:
        held = {image.path for image in splits.held_out}
        chosen = HoldOut(tuple(image.path in held for image in report.images), ())
        path = out.with_name(f"{out.name}.hold-out.csv")
        write_hold_out(path, report.collection.root, report.images, chosen)


def _found(report: Report) -> Iterator[str]:
    counts = [each.images for each in report.classes()]
    yield (
        f"{report.source}: {len(report.images):,} images of {len(counts):,} "
        f"class{'es' if len(counts) != 1 else ''}, "
        f"{min(counts, default=0):,} to {max(counts, default=0):,} a class"
    )
    for problem in report.problems:
        mark = "" if problem.severity is Severity.NOTE else f"{problem.severity}: "
        yield f"  {mark}{problem.text}"
        if problem.severity is not Severity.NOTE:
            yield from (f"    {item}" for item in problem.items[:EXAMPLES])
            rest = len(problem.items) - EXAMPLES
            if rest > 0:
                yield f"    and {rest:,} more"
    if report.problems:
        yield f"  `greengrocer data check {report.source} --report DIR` shows them"


def _told(chosen: Chosen, splits: Splits, asked: Asked) -> Iterator[str]:
    """The plan."""
    recipe, facts, step = chosen.recipe, chosen.facts, chosen.step
    how, export, left = recipe.optimisation, recipe.export, asked.minutes_left()
    sampling = ", those of small classes more often" if how.class_balance else ""
    seconds = estimate(recipe, facts, step)
    each = step.image(recipe.backbone, recipe.augmentation.image_size) * how.batch_size
    frozen = f"; its first {how.frozen_stages} stages stay as they are" if how.frozen_stages else ""
    yield "The plan:"
    yield f"  train     {facts.images:,} images{sampling}"
    yield f"  hold out  {facts.held_out:,} images, to judge and to calibrate by ({splits.origin})"
    yield f"  network   {recipe.backbone}, which has learned from ImageNet's photos{frozen}"
    yield f"  size      {recipe.augmentation.image_size} pixels, in use {export.image_size}"
    yield f"  epochs    {how.epochs}; each goes through all images, {how.batch_size} a step"
    yield f"  computed  {_computed(chosen)}"
    yield f"  time      about {spoken(seconds)} from now: a step takes {each:.2g} s here"
    if asked.minutes is not None and left is not None and seconds > 60 * left:
        yield (
            f"  warning: nothing smaller fits into {asked.minutes:g} minutes; --quick takes about "
            "one"
        )


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
    """Print ``line`` without breaking a progress bar."""
    tqdm.write(line)
