"""Make the general backbone that ships: EfficientNet-Lite0 with its ImageNet weights, in int8.

``python -m tools.make_backbone`` writes src/greengrocer/bundled/backbone/backbone.onnx: pixels,
uint8 [N, 224, 224, 3], to a feature map, float32 [N, 1280, 7, 7]. Its ranges of activations are of
the images of the built-in gallery, which are our own, in crops, turns and lights drawn from a seed.
With ``--compare DIR`` it only tells how the file that is there agrees with the float network on
the images below a folder.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnx
from PIL import Image, ImageEnhance
from tqdm import tqdm

from greengrocer.datasets.gallery import built_in_gallery
from greengrocer.engines.onnx_runtime import ort
from greengrocer.features.backbone import GEOMETRY, backbone_bytes
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, from_pixels
from greengrocer.imaging.geometry import Pixels, fit
from greengrocer.networks.efficientnet_lite import EfficientNetLite
from greengrocer.training.data.reading import read_fitted, read_picture
from greengrocer.training.release.export import backbone_graph
from greengrocer.training.release.quantise import quantise
from greengrocer.training.release.space_to_depth import space_to_depth_stem

NETWORK = "efficientnet-lite0"
OUT = Path("src/greengrocer/bundled/backbone/backbone.onnx")
VIEWS = 8  # of each image of the gallery
SEED = 7
MAX_BYTES = 6_000_000


def views(path: Path, random: np.random.Generator) -> list[Pixels]:
    """The image at ``path``, whole, and in VIEWS crops of other turns, lights and colours."""
    whole = read_picture(path, (512, 512))
    found = [fit(whole, GEOMETRY)]
    for _ in range(VIEWS):
        side = random.uniform(0.4, 1.0, 2) * whole.size
        left, top = random.uniform(0, 1, 2) * (whole.size - side)
        view = whole.crop((int(left), int(top), int(left + side[0]), int(top + side[1])))
        if random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        view = view.rotate(float(random.uniform(-30, 30)), Image.Resampling.BILINEAR)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            view = enhance(view).enhance(float(random.uniform(0.5, 1.6)))
        noise = random.normal(0, random.uniform(0, 20), (*GEOMETRY.size[::-1], 3))
        found.append(np.clip(fit(view, GEOMETRY) + noise, 0, 255).astype(np.uint8))
    return found


def in_float() -> onnx.ModelProto:
    """The network with its ImageNet weights, planes to the feature map."""
    network = EfficientNetLite(NETWORK)
    network.load_pretrained()
    return backbone_graph(network.eval(), GEOMETRY)


def make() -> None:
    """Quantise and write the backbone."""
    random = np.random.default_rng(SEED)
    shown = built_in_gallery().pictures
    pictures = [view for each in tqdm(shown, "views") for view in views(each.path, random)]
    made = space_to_depth_stem(from_pixels(quantise(in_float(), pictures))).SerializeToString()
    if len(made) > MAX_BYTES:
        sys.exit(f"{len(made)} bytes, over {MAX_BYTES}")
    OUT.write_bytes(made)
    sys.stdout.write(f"{OUT}: {len(made)} bytes from {len(pictures)} views\n")


def compare(directory: Path) -> None:
    """Say how the features in int8 agree with those in float, on the JPEGs below ``directory``."""
    paths = sorted(directory.rglob("*.jpg"))
    sessions = [
        ort.InferenceSession(each, providers=["CPUExecutionProvider"])
        for each in (from_pixels(in_float()).SerializeToString(), backbone_bytes())
    ]
    random = np.random.default_rng(SEED)
    cosines = []
    for index in tqdm(random.permutation(len(paths))[:200], "compare"):
        feed = {PIXELS: read_fitted(paths[index], GEOMETRY)[None]}
        pooled = [each.run([FEATURE_MAP], feed)[0].mean(axis=(2, 3))[0] for each in sessions]
        lengths = [float(np.linalg.norm(each)) for each in pooled]
        cosines.append(float(pooled[0] @ pooled[1]) / (lengths[0] * lengths[1]))
    low, middle = np.percentile(cosines, [5, 50])
    sys.stdout.write(f"cosine int8 to float: median {middle:.4f}, 5th percentile {low:.4f}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compare", type=Path, metavar="DIR")
    asked = parser.parse_args()
    if asked.compare:
        compare(asked.compare)
    else:
        make()
