"""What a training step costs here: the real network and the real images, for a few seconds."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.datasets.progress import Progress
from greengrocer.training.choose import MEASURED_SIZE, NETWORK, StepCost
from greengrocer.training.data.batches import Batch, training_batches
from greengrocer.training.learning.fit import Trainer
from greengrocer.training.learning.precision import Precision, may_gain
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe

BATCH = 8
STEPS = 3  # after one that warms up
MUCH = 0.75  # of the time with all threads
LIMIT = 6.0  # seconds: no further step begins after as many, but one that is measured
PROBE = Recipe(
    name="step",
    backbone=NETWORK,
    pretrained=False,
    augmentation=Augmentation(image_size=MEASURED_SIZE),
    optimisation=Optimisation(batch_size=BATCH, frozen_stages=3, layer_decay=0.75),
)


class Way(NamedTuple):
    """How a step may be computed. ``threads`` are PyTorch's; on a GPU they do not matter."""

    threads: int
    precision: Precision


class Work(NamedTuple):
    """What is trained on where: ``loaders`` threads prepare the images."""

    taxonomy: Taxonomy
    images: Sequence[LabelledImage]
    device: str
    loaders: int


def fastest_way(work: Work) -> tuple[Way, StepCost, dict[Way, float]]:
    """How to compute a step of ``PROBE``, what it then costs, and the seconds of each way tried.

    Tried are float32 with all of PyTorch's threads and with one, which is taken where it is much
    faster, for others keep the processors busy (they may soon be done, so a little does not count);
    then bfloat16, where this device has it.
    """
    load, batches = _batches(PROBE, work)
    all_threads = torch.get_num_threads()
    best = Way(all_threads, "float32")
    spent = {best: _seconds(PROBE, work, batches, best)}
    if all_threads > 1 and work.device == "cpu":
        alone = Way(1, "float32")
        spent[alone] = _seconds(PROBE, work, batches, alone)
        best = alone if spent[alone] < MUCH * spent[best] else best
    if may_gain(work.device):
        other = Way(best.threads, "bfloat16")
        spent[other] = _seconds(PROBE, work, batches, other)
        best = min(best, other, key=spent.__getitem__)
    return best, StepCost(load, spent[best] / BATCH, work.device), spent


def measure(recipe: Recipe, work: Work, way: Way) -> StepCost:
    """What a step of ``recipe`` costs, in the terms of one of ``PROBE``."""
    untrained = recipe.model_copy(update={"pretrained": False})
    load, batches = _batches(untrained, work)
    seconds = _seconds(untrained, work, batches, way) / recipe.optimisation.batch_size
    return StepCost(load, 0.0, work.device).measured(recipe, seconds)


def _batches(recipe: Recipe, work: Work) -> tuple[float, list[Batch]]:
    """The seconds that one image took to load, and batches of full-sized images."""
    full = recipe.augmentation.model_copy(update={"initial_image_size": None})
    recipe = recipe.model_copy(update={"augmentation": full})
    count = recipe.optimisation.batch_size * (STEPS + 1)
    chosen = [work.images[place * len(work.images) // count] for place in range(count)]
    began = time.monotonic()
    found = list(training_batches(chosen, recipe, 0, work.loaders))
    return (time.monotonic() - began) / count, found


def _seconds(recipe: Recipe, work: Work, batches: Sequence[Batch], way: Way) -> float:
    """The seconds of the fastest step, after one that warms up."""
    spent: list[float] = []
    with _threads(way.threads):
        trainer = Trainer(recipe, work.taxonomy, len(batches), work.device, None, way.precision)
        trainer.train_mode()
        name = f"a step in {way.precision}, threads: {way.threads}"
        first = time.monotonic()
        for pixels, labels in Progress(batches, name, unit="batch", leave=False):
            began = time.monotonic()
            if len(spent) > 1 and began - first > LIMIT:
                break
            trainer.train_batch(pixels.to(work.device), labels.to(work.device))
            if work.device == "cuda":
                torch.cuda.synchronize()
            spent.append(time.monotonic() - began)
    return min(spent[1:])


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
