"""What a graph answers for pictures on disk, decoded and fitted as the product does it."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort

from greengrocer.engines.engine import Floats
from greengrocer.imaging.geometry import Geometry
from greengrocer.training.pictures.reading import read_fitted
from greengrocer.training.release.export import PIXELS


class Answers(NamedTuple):
    """For N pictures, float32: ``logits`` and ``probabilities`` [N, classes], and scores [N]."""

    logits: Floats
    probabilities: Floats
    known_score: Floats


def answer_pictures(graph: onnx.ModelProto, paths: Iterable[Path], geometry: Geometry) -> Answers:
    """Run ``graph``, which keeps the public contract, over pictures one by one."""
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = []
    for path in paths:
        feed = {PIXELS: read_fitted(path, geometry)[None]}
        evidence, probabilities, score = session.run(
            ["evidence", "probabilities", "known_score"], feed
        )
        rows.append((evidence.mean((1, 2)), probabilities, score))
    return Answers(*(np.concatenate(column) for column in zip(*rows, strict=True)))
