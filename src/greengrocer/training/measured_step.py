"""What a training step costs here: the real network and the real images, for a few seconds."""

import time
from collections.abc import Sequence

import torch
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.training.choose import MEASURED_SIZE, NETWORK, StepCost
from greengrocer.training.data.batches import training_batches
from greengrocer.training.learning.fit import Trainer
from greengrocer.training.learning.precision import Precision
from greengrocer.training.recipe import Augmentation, Optimisation, Recipe

BATCH = 8
STEPS = 3  # after one that warms up


def measure_step(
    taxonomy: Taxonomy,
    images: Sequence[LabelledImage],
    device: str,
    threads: int,
    precision: Precision,
) -> StepCost:
    """Seconds an image of training Lite0 on some of ``images``, its first stages frozen."""
    recipe = Recipe(
        name="step",
        backbone=NETWORK,
        pretrained=False,
        augmentation=Augmentation(image_size=MEASURED_SIZE),
        optimisation=Optimisation(batch_size=BATCH, frozen_stages=3, layer_decay=0.75),
    )
    count = BATCH * (STEPS + 1)
    chosen = [images[place * len(images) // count] for place in range(count)]
    began = time.monotonic()
    batches = list(training_batches(chosen, recipe, 0, threads))
    load = (time.monotonic() - began) / count
    trainer = Trainer(recipe, taxonomy, len(batches), device, None, precision)
    trainer.train_mode()
    spent = []
    for pixels, labels in tqdm(batches, "measuring a step", unit="batch", mininterval=5):
        began = time.monotonic()
        trainer.train_batch(pixels.to(device), labels.to(device))
        if device == "cuda":
            torch.cuda.synchronize()
        spent.append(time.monotonic() - began)
    return StepCost(load, min(spent[1:]) / BATCH, device)
