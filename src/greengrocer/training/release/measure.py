"""What a graph answers for images on disk, decoded and fitted as the product does it."""

import copy
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto

from greengrocer.engines.engine import Floats
from greengrocer.engines.onnx_runtime import ort
from greengrocer.graphs.nodes import FEATURE_MAP, PIXELS, PLANES, value_info
from greengrocer.graphs.views import IN_DOUBT, cutting_graph, in_cascade
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.imaging.views import Views
from greengrocer.training.data.reading import read_fitted


class Answers(NamedTuple):
    """For N images, float32: ``logits`` and ``probabilities`` [N, classes], and scores [N].

    ``in_doubt`` [N] is 1 where a cascade looked at all views, else 0; None without a cascade.
    """

    logits: Floats
    probabilities: Floats
    known_score: Floats
    in_doubt: Floats | None = None


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


def answer_pictures(
    graph: onnx.ModelProto, paths: Iterable[Path], geometry: Geometry, size: float = 1.0
) -> Answers:
    """Run ``graph``, which keeps the public contract, over images one by one.

    What they show has ``size`` times its apparent size.
    """
    names = ["evidence", "probabilities", "known_score"]
    if in_cascade(graph):
        graph = copy.deepcopy(graph)
        graph.graph.output.append(value_info(IN_DOUBT, TensorProto.BOOL, ["N"]))
        names.append(IN_DOUBT)
    session = _session(graph)
    rows = []
    for path in paths:
        feed = {PIXELS: read_fitted(path, geometry, size)[None]}
        evidence, probabilities, score, *in_doubt = session.run(names, feed)
        doubts = (each.astype(np.float32) for each in in_doubt)
        rows.append((evidence.mean((1, 2)), probabilities, score, *doubts))
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
