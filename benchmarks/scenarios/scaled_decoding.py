"""Does decoding at a smaller scale change what an image is called?

    python -m benchmarks.scenarios.scaled_decoding --data DIR [--bundles NAME...] [--count N]

Each image of train and val is enlarged to 12 megapixels, with noise, and encoded again; then it
is named twice, decoded at a smaller scale as the service does it, and decoded in full.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from benchmarks.photos import enlarge
from greengrocer.assemble_pipeline import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.datasets.dataset import read_split
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import fit
from greengrocer.pipeline import Pipeline


def main() -> None:
    """Name all images twice and print how many names differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundles", nargs="+", default=["grocery", "fast", "tiny"])
    parser.add_argument("--count", type=int, help="of the images, evenly chosen; default: all")
    arguments = parser.parse_args()
    images = [p for split in ("train", "val") for p in read_split(arguments.data, split).pictures]
    step = max(1, len(images) // (arguments.count or len(images)))
    chosen = [image.path for image in images[::step]]
    pipelines = [build_pipeline(load_bundle(find_bundle(name))) for name in arguments.bundles]
    with ThreadPoolExecutor(2) as pool:
        asked = pool.map(lambda item: _differ(pipelines, *item), enumerate(chosen))
        differ = list(tqdm(asked, "pictures", len(chosen)))
    for name, each in zip(arguments.bundles, zip(*differ, strict=True), strict=True):
        share = sum(each) / len(each)
        sys.stdout.write(f"{name}: {sum(each)} of {len(each)} labels differ, {share:.2%}\n")


def _differ(pipelines: Sequence[Pipeline], number: int, path: Path) -> list[bool]:
    """Whether each model names the enlarged image otherwise when it is decoded in full."""
    photo = enlarge(path.read_bytes(), number)
    whole = decode(photo)
    differ = []
    for pipeline in pipelines:
        scaled = pipeline.classify(photo, Context()).top[0].name
        probabilities = pipeline.engine.infer(fit(whole, pipeline.geometry)[None]).probabilities[0]
        differ.append(scaled != pipeline.labels.classes[int(probabilities.argmax())])
    return differ


if __name__ == "__main__":
    main()
