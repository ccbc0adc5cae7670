"""Which recipe fits a data set, a machine and a time: a pure function."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from greengrocer.training.recipe import Augmentation, Data, Export, Optimisation, Recipe

NETWORK = "efficientnet-lite0"
LARGE_NETWORK = "efficientnet-lite2"  # on a GPU
LARGE_COST = 2.2  # multiply-adds of the large network over the small one's
MEASURED_SIZE = 224  # pixels: the side at which a step is measured
PROBE = 0.4  # of a training step's computation is its forward pass
SIZES = (224, 192, 160, 128)  # sides of a training image, the best first
UNBALANCED = 3.0  # times as many images in the largest class as in the smallest
SPARE = 0.9  # of the time that a person gives: the rest is for what cannot be foreseen
FEW = 1_000  # training images below which most is known from the photos of ImageNet
MOST_REFITTED = 3_000  # images of which the held-out ones are worth a second training
EPOCHS = (  # (fewer training images than, epochs)
    *((100, 40), (300, 30), (1_000, 20), (3_000, 15), (10_000, 10)),
    *((50_000, 6), (300_000, 3)),
)
FEWEST_EPOCHS = 2  # of more images than that


class DatasetFacts(NamedTuple):
    """What the choice depends on: the images that train, by class, and how many are held out."""

    name: str
    counts: tuple[int, ...]  # training images of each class
    held_out: int
    hierarchy: bool = False
    own_split: bool = False  # the held-out images are the folder's own split val

    @property
    def images(self) -> int:
        """How many images train."""
        return sum(self.counts)

    @property
    def all_images(self) -> int:
        """How many images there are, the held-out ones as well."""
        return self.images + self.held_out


class StepCost(NamedTuple):
    """Seconds for one image of a training step of Lite0 at 224 pixels, on this machine.

    ``load`` decodes and varies it, and does not depend on the size; ``compute`` trains on it.
    """

    load: float
    compute: float
    device: str = "cpu"

    def image(self, network: str, size: int) -> float:
        """Seconds for one image of a training step."""
        compute = self.compute * _work(network, size)
        return max(self.load, compute) if self.device == "cuda" else self.load + compute

    def measured(self, recipe: Recipe, compute: float) -> "StepCost":
        """The same where an image of a step of ``recipe`` takes ``compute`` seconds."""
        share = _work(recipe.backbone, recipe.augmentation.image_size)
        return self._replace(compute=compute / share)


def _work(network: str, size: int) -> float:
    """Multiply-adds of ``network`` on images of ``size``, as multiples of what is measured."""
    return (LARGE_COST if network == LARGE_NETWORK else 1.0) * (size / MEASURED_SIZE) ** 2


def choose_recipe(
    facts: DatasetFacts,
    step: StepCost,
    minutes: float | None = None,
    seed: int = 7,
    network: str | None = None,
) -> Recipe:
    """The recipe for ``facts`` on a machine on which ``step`` was measured.

    ========================  =================================================================
    setting                   how it is chosen
    ========================  =================================================================
    network                   Lite0; on a GPU Lite2
    image size                224, tested at 256; the first epochs smaller
    epochs                    40 below 100 training images, 30 below 300, 20 below 1,000, 15
                              below 3,000, 10 below 10,000, 6 below 50,000, 3 below 300,000,
                              else 2
    batch size                32; a quarter of the images, at least 4, where that is less
    learning rate             5e-4 for a batch of 32, less for a smaller one by the square root
    frozen stages             5 of 9 below 10 images a class (median), none above 20,000 images
                              in all, else 3
    linear probe              8 epochs below 10 images a class, else 2; 1 above 20,000 in all;
                              never more than the epochs
    averaging (EMA)           over about a tenth of all steps
    batch norms               keep ImageNet's statistics below 10 images a class, or below
                              1,000 images
    refit                     below 3,000 images in all, where no split "val" is held out: what
                              ships learns from the held-out images, too
    weights                   averaged with those after the probe (WiSE-FT) below 1,000 images
    sampling                  by the root of a class's size, where the largest class has more
                              than 3 times the images of the smallest
    ========================  =================================================================

    With ``minutes`` it gives up, in this order and only as far as it must: half of the epochs, the
    refit, image size down to 128, Lite2, and the other epochs down to one; below 1,000 images the
    other epochs before the image size, and what ships is the nearer to the probe the fewer of its
    epochs there are. A ``network`` that is named stays; ``step`` is then taken for one of it.
    """
    usual = network or (LARGE_NETWORK if step.device == "cuda" else NETWORK)
    smallest = network or NETWORK
    epochs = _epochs(facts.images)
    refit = facts.all_images < MOST_REFITTED and not facts.own_split
    best = _recipe(facts, seed, usual, SIZES[0], epochs, refit=refit)
    if minutes is None:
        return best
    allowed = 60 * minutes * SPARE
    few = facts.images < FEW
    for offered, size, fewest, again in _offers(usual, smallest, epochs, few=few, refit=refit):
        for number in range(epochs, fewest - 1, -1):
            found = _recipe(facts, seed, offered, size, number, refit=again)
            if estimate(found, facts, step).total <= allowed:
                return found
    return _recipe(facts, seed, smallest, SIZES[-1], 1)


def _epochs(images: int) -> int:
    """As many as there are where there is time."""
    return next((number for most, number in EPOCHS if images < most), FEWEST_EPOCHS)


def _offers(
    network: str, smallest: str, epochs: int, *, few: bool, refit: bool
) -> Sequence[tuple[str, int, int, bool]]:
    """Networks, image sizes, the fewest epochs and refits, in the order in which they are tried."""
    half = max(1, epochs // 2)
    offers = [(network, SIZES[0], half, refit)]
    if few:
        offers += [(each, SIZES[0], half, False) for each in (network, smallest)]
        return [*offers, *((smallest, size, 1, False) for size in SIZES)]
    offers += [(network, size, half, False) for size in SIZES]
    offers += [(smallest, size, half, False) for size in SIZES if network != smallest]
    return [*offers, (smallest, SIZES[-1], 1, False)]


class Estimate(NamedTuple):
    """Seconds that a training takes: its epochs, and the probe before and the export after them.

    And those of its refit, 0 where it has none.
    """

    epochs: float
    probe: float
    export: float
    again: float = 0.0  # the epochs of the refit
    again_export: float = 0.0  # its probe, too

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def estimate(recipe: Recipe, facts: DatasetFacts, step: StepCost) -> Estimate:
    """What a training by ``recipe`` takes."""
    how, sizes = recipe.optimisation, recipe.augmentation
    each = sum(
        step.image(recipe.backbone, sizes.grown(epoch, how.epochs).image_size)
        for epoch in range(how.epochs)
    )
    factor = len(recipe.export.views) * _work(recipe.backbone, recipe.export.image_size)
    # A forward pass, on the processor even where a GPU trains.
    answered = step.load + PROBE * step.compute * factor
    judged = how.epochs * min(facts.held_out, CURVE_IMAGES) * PROBE * step.compute * factor
    calibrated = 2 * min(recipe.export.calibration_images, facts.images)
    exported = (facts.images + calibrated + 5 * facts.held_out) * answered
    probed = how.linear_probe_epochs * answered
    first = Estimate(facts.images * each + judged, facts.images * probed, exported + FIXED_SECONDS)
    if not recipe.data.refit:
        return first
    # It is judged by all images, in float and in int8.
    exported = (3 * facts.all_images + calibrated) * answered + FIXED_SECONDS
    again = facts.all_images * probed + exported
    return first._replace(again=facts.all_images * each, again_export=again)


CURVE_IMAGES = 200  # held-out images, at most, that are answered after each epoch
FIXED_SECONDS = 20.0  # the graph is written, loaded and tested


def _recipe(
    facts: DatasetFacts, seed: int, network: str, size: int, epochs: int, *, refit: bool = False
) -> Recipe:
    counts = sorted(facts.counts)
    usual, images = counts[len(counts) // 2], facts.images
    few, many = usual < 10, images > 20_000
    batch = max(4, min(32, images // 4))
    steps = epochs * max(1, images // batch)
    balanced = counts[-1] > UNBALANCED * max(1, counts[0])
    share = math.sqrt(batch / 32)
    return Recipe(
        name=facts.name,
        seed=seed,
        backbone=network,
        data=Data(refit=refit),
        augmentation=Augmentation(
            image_size=size,
            initial_image_size=max(96, 16 * round(size / 24)) if epochs >= 8 else None,
            degrade_prob=0.15,
        ),
        optimisation=Optimisation(
            epochs=epochs,
            batch_size=batch,
            lr=round(5e-4 * share, 6),
            head_lr=round(1e-3 * share, 6),
            warmup_epochs=1.0 if epochs >= 4 else 0.25,
            label_smoothing=0.0,
            dropout=0.2 if usual >= 20 else 0.0,
            ema_decay=round(min(0.998, max(0.5, 1 - 10 / steps)), 4),
            linear_probe_epochs=min(epochs, 8 if few else 1 if many else 2),
            layer_decay=0.9 if many else 0.75,
            frozen_stages=5 if few else 0 if many else 3,
            frozen_batch_norm=few or images < FEW,
            class_balance=0.5 if balanced else 0.0,
            wise_ft_alpha=round(0.7 * min(1.0, 2 * epochs / _epochs(images)), 2)
            if images < FEW
            else 1.0,
        ),
        export=Export(image_size=32 * round(size * 8 / 7 / 32), known_quantile=0.025),
    )
