"""What a graph answers for images on disk, decoded and fitted as the product does it."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from greengrocer.engines.engine import Floats
from greengrocer.engines.onnx_runtime import ort
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.training.data.reading import read_fitted


class Answers(NamedTuple):
    """For N images, float32: ``logits`` and ``probabilities`` [N, classes], and scores [N]."""

    logits: Floats
    probabilities: Floats
    known_score: Floats


def pool_features(backbone: onnx.ModelProto, paths: Iterable[Path], geometry: Geometry) -> Floats:
    """The mean over positions of what ``backbone`` makes of each image, [N, channels]."""
    return pool_pixels(backbone, (read_fitted(path, geometry) for path in paths))


def pool_pixels(backbone: onnx.ModelProto, pictures: Iterable[Pixels]) -> Floats:
    """The mean over positions of what ``backbone`` makes of each uint8 [H, W, 3]: [N, channels]."""
    session = _session(backbone)
    rows = []
    for picture in pictures:
        (features,) = session.run([FEATURE_MAP], {PLANES: picture[None].transpose(0, 3, 1, 2)})
        rows.append(features.mean((2, 3)))
    return np.concatenate(rows)


def answer_pictures(
    graph: onnx.ModelProto, paths: Iterable[Path], geometry: Geometry, size: float = 1.0
) -> Answers:
    """Run ``graph``, which keeps the public contract, over images one by one.

    What they show has ``size`` times its apparent size.
    """
    session = _session(graph)
    rows = []
    for path in paths:
        feed = {PIXELS: read_fitted(path, geometry, size)[None]}
        evidence, probabilities, score = session.run(
            ["evidence", "probabilities", "known_score"], feed
        )
        rows.append((evidence.mean((1, 2)), probabilities, score))
    return Answers(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _session(graph: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
