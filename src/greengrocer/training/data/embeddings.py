"""Embeddings of images: those of one scene point in nearly the same direction."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.progress import Progress
from greengrocer.engines.engine import Floats
from greengrocer.imaging.geometry import Geometry
from greengrocer.networks.efficientnet_lite import EfficientNetLite
from greengrocer.networks.recogniser import channels_last
from greengrocer.training.data.reading import read_fitted, read_picture
from greengrocer.training.recipe import Recipe

NETWORK = "efficientnet-lite0"  # for every recipe, so that the same images make the same scenes
GEOMETRY = Geometry(width=224, height=224)
BATCH = 32
SIDE = 16  # pixels of a thumbnail


def embed_images(pictures: Sequence[LabelledImage], recipe: Recipe) -> Floats:
    """The embeddings [N, D] of ``pictures``, float32 of length 1.

    They are what a network that was trained on ImageNet makes of an image; where the recipe does
    without one, a thumbnail. Raises DatasetUnusable for an image that cannot be read.
    """
    tqdm.write(f"grouping {len(pictures)} images into scenes")
    return _features(pictures) if recipe.pretrained else _thumbnails(pictures)


@torch.inference_mode()
def _features(pictures: Sequence[LabelledImage]) -> Floats:
    network = EfficientNetLite(NETWORK)
    network.load_pretrained()
    channels_last(network).eval()
    found = []
    for start in Progress(range(0, len(pictures), BATCH), "scenes", unit="batch"):
        batch = [read_fitted(p.path, GEOMETRY) for p in pictures[start : start + BATCH]]
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        # In float32 on every machine: the scenes, and so the folds, must not depend on it.
        found.append(network(network.normalise(pixels)).mean(dim=(2, 3)))
    return np.asarray(torch.nn.functional.normalize(torch.cat(found)).numpy())


def _thumbnails(pictures: Sequence[LabelledImage]) -> Floats:
    """16 x 16 greys in a row, of mean 0; all 0 for a plain image, which is like nothing."""
    rows = []
    for picture in pictures:
        large = read_picture(picture.path, (SIDE, SIDE)).convert("L")
        small = large.resize((SIDE, SIDE), Image.Resampling.BOX)
        greys = np.asarray(small, np.float32).ravel()
        greys -= greys.mean()
        rows.append(greys / max(float(np.linalg.norm(greys)), 1e-6))
    return np.stack(rows)
