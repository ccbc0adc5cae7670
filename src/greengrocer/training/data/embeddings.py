"""What images have in common: the embeddings of one scene are alike, and the styles of one shop."""

from collections.abc import Sequence
from typing import NamedTuple

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
STYLED = slice(1, 4)  # stages whose channels tell light, floor and lens more than objects


class Embedded(NamedTuple):
    """Embeddings [N, D], float32 of length 1, and styles [N, E], float32."""

    embeddings: Floats
    styles: Floats


def embed_images(pictures: Sequence[LabelledImage], recipe: Recipe) -> Embedded:
    """The embeddings and styles of ``pictures``.

    They are what a network that was trained on ImageNet makes of an image, at its end and in its
    first stages; where the recipe does without one, a thumbnail and its colours. Raises
    DatasetUnusable for an image that cannot be read.
    """
    tqdm.write(f"grouping {len(pictures)} images into scenes")
    return _features(pictures) if recipe.pretrained else _thumbnails(pictures)


@torch.inference_mode()
def _features(pictures: Sequence[LabelledImage]) -> Embedded:
    network = EfficientNetLite(NETWORK)
    network.load_pretrained()
    channels_last(network).eval()
    noted: list[torch.Tensor] = []
    for stage in network.stages()[STYLED]:
        stage[-1].register_forward_hook(lambda _module, _given, out: noted.append(_style(out)))
    embeddings, styles = [], []
    for start in Progress(range(0, len(pictures), BATCH), "scenes", unit="batch"):
        batch = [read_fitted(p.path, GEOMETRY) for p in pictures[start : start + BATCH]]
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        # In float32 on every machine: the scenes, and so the folds, must not depend on it.
        embeddings.append(network(network.normalise(pixels)).mean(dim=(2, 3)))
        styles.append(torch.cat(noted, dim=1))
        noted.clear()
    directions = torch.nn.functional.normalize(torch.cat(embeddings))
    return Embedded(directions.numpy(), torch.cat(styles).numpy())


def _style(maps: torch.Tensor) -> torch.Tensor:
    """The mean and the spread over places of each channel: [N, C, H, W] to [N, 2 C]."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.std(dim=(2, 3))], dim=1)


def _thumbnails(pictures: Sequence[LabelledImage]) -> Embedded:
    """16 x 16 greys in a row, of mean 0; all 0 for a plain image, which is like nothing."""
    rows, colours = [], []
    for picture in pictures:
        image = read_picture(picture.path, (SIDE, SIDE))
        small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        greys = np.asarray(small, np.float32).ravel()
        greys -= greys.mean()
        rows.append(greys / max(float(np.linalg.norm(greys)), 1e-6))
        levels = np.asarray(image, np.float32).reshape(-1, 3)
        colours.append(np.concatenate([levels.mean(axis=0), levels.std(axis=0)]))
    return Embedded(np.stack(rows), np.stack(colours))
