"""What a graph answers for images on disk, decoded and fitted as the product does it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from greengrocer.engines.engine import Floats
from greengrocer.engines.onnx_runtime import ort
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES
from greengrocer.graphs.views import cutting_graph
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.imaging.views import Views
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
    """The mean over positions of what ``backbone`` makes of each uint8 [H, W, 3]: [N, channels].

    It reads ``planes``, or ``pixels`` where it has several views.
    """
    session = _session(backbone)
    source = session.get_inputs()[0].name
    rows = []
    for picture in pictures:
        pixels = picture[None]
        feed = {source: pixels.transpose(0, 3, 1, 2) if source == PLANES else pixels}
        (features,) = session.run([FEATURE_MAP], feed)
        rows.append(features.mean((2, 3)))
    return np.concatenate(rows)


def answer_pictures(graph: onnx.ModelProto, paths: Iterable[Path], geometry: Geometry) -> Answers:
    """Run ``graph``, which keeps the public contract, over images one by one."""
    session = _session(graph)
    rows = []
    for path in paths:
        feed = {PIXELS: read_fitted(path, geometry)[None]}
        evidence, probabilities, score = session.run(
            ["evidence", "probabilities", "known_score"], feed
        )
        rows.append((evidence.mean((1, 2)), probabilities, score))
    return Answers(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def cut_views(pictures: Iterable[Pixels], views: Views) -> Iterator[Pixels]:
    """All views of all ``pictures`` uint8 [side, side, 3]: uint8 [size, size, 3] each."""
    if views.single:
        yield from pictures
        return
    session = _session(cutting_graph(views))
    for picture in pictures:
        yield from session.run(None, {PIXELS: picture[None]})[0]


def _session(graph: onnx.ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
