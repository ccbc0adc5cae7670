"""Give a bundle whose network was trained the statistics that ``greengrocer teach`` needs.

``python -m tools.add_statistics BUNDLE DATA`` reads the images of the splits train and val of DATA,
which trained it, and writes BUNDLE/statistics.safetensors and its digest into the manifest.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx

from greengrocer.bundles.bundle import load_bundle
from greengrocer.bundles.manifest import GRAPH, STATISTICS, write_manifest
from greengrocer.features.extract import Embedder
from greengrocer.features.statistics import of_trained
from greengrocer.features.statistics_file import pack_trained
from greengrocer.graphs.parts import take_apart
from greengrocer.quick.train import read_labelled


def main(directory: Path, data: Path) -> None:
    """Compute the features of the images by the bundle's own backbone, and write their sums."""
    bundle, dataset = load_bundle(directory), read_labelled(data).data
    manifest = bundle.manifest
    if dataset.taxonomy.classes != manifest.classes:
        raise SystemExit(f"{data} has other classes than {directory}")
    backbone, head = take_apart(onnx.load_from_string(bundle.read(GRAPH)))
    graph = backbone.SerializeToString()
    digest = hashlib.sha256(graph).hexdigest()
    embedder = Embedder(graph, digest, manifest.geometry, len(head.weight))
    features = embedder.extract([image.path for image in dataset.pictures]).features
    labels = np.array([image.label for image in dataset.pictures], np.int64)
    statistics = of_trained(manifest.classes, labels, features)
    packed = pack_trained(statistics, len(head.directions))
    (directory / STATISTICS).write_bytes(packed)
    files = {**manifest.files, STATISTICS: hashlib.sha256(packed).hexdigest()}
    write_manifest(manifest.model_copy(update={"files": files}), directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("data", type=Path)
    asked = parser.parse_args()
    main(asked.bundle, asked.data)
