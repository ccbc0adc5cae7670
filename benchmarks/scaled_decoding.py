"""Does decoding at a smaller scale change what a picture is called?

    python -m benchmarks.scaled_decoding --data DIR [--bundle NAME] [--count N]

Each picture of train and val is enlarged to 12 megapixels, with noise, and encoded anew; then it
is named twice, decoded at a smaller scale as the service does it, and decoded in full.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from benchmarks.photos import enlarge
from greengrocer.assemble import build_pipeline
from greengrocer.bundles.bundle import find_bundle, load_bundle
from greengrocer.context import Context
from greengrocer.datasets.labelled import read_split
from greengrocer.imaging.decode import decode
from greengrocer.imaging.geometry import fit
from greengrocer.pipeline import Pipeline


def main() -> None:
    """Name all pictures twice and print how many names differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", default="fast")
    parser.add_argument("--count", type=int, help="of the pictures, evenly chosen; default: all")
    arguments = parser.parse_args()
    pictures = [p for split in ("train", "val") for p in read_split(arguments.data, split).pictures]
    step = max(1, len(pictures) // (arguments.count or len(pictures)))
    chosen = [picture.path for picture in pictures[::step]]
    pipeline = build_pipeline(load_bundle(find_bundle(arguments.bundle)))
    with ThreadPoolExecutor(2) as pool:
        named = pool.map(lambda item: _names(pipeline, *item), enumerate(chosen))
        differing = [both for both in tqdm(named, "pictures", len(chosen)) if both[0] != both[1]]
    share = len(differing) / len(chosen)
    sys.stdout.write(f"{len(differing)} of {len(chosen)} labels differ: {share:.2%}\n")


def _names(pipeline: Pipeline, number: int, path: Path) -> tuple[str, str]:
    photo = enlarge(path.read_bytes(), number)
    scaled = pipeline.classify(photo, Context(), top=1).top[0].name
    pixels = fit(decode(photo), pipeline.geometry)
    probabilities = pipeline.engine.infer(pixels[None]).probabilities[0]
    return scaled, pipeline.labels.classes[int(probabilities.argmax())]


if __name__ == "__main__":
    main()
