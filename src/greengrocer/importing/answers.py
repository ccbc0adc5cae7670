"""What an imported graph answers, before calibration, for photos or for pixels."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.engines.engine import Floats
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.importing.fold import PIXELS
from greengrocer.importing.head import FEATURES, RAW_LOGITS
from greengrocer.importing.photos import read_pixels
from greengrocer.importing.source import open_session, run_session


class Raw(NamedTuple):
    """``logits`` [N, classes] before calibration; ``features`` [N, D], None without any."""

    logits: Floats
    features: Floats | None

    def softmax(self, temperature: float = 1.0) -> Floats:
        """Probabilities [N, classes]."""
        return softmax(self.logits / np.float32(temperature))


def softmax(logits: Floats) -> Floats:
    """Probabilities of ``logits`` [N, classes]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def answer_photos(graph: onnx.ModelProto, paths: Sequence[Path], geometry: Geometry) -> Raw:
    """What the raw ``graph`` answers for the photos at ``paths``; raises DatasetUnusable."""
    progress = tqdm(paths, "answering", unit="photo", delay=1, leave=False)
    return answer_pixels(graph, (read_pixels(path, geometry) for path in progress))


def answer_pixels(graph: onnx.ModelProto, photos: Iterable[Pixels]) -> Raw:
    """The same for pixels uint8 [H, W, 3], one image at a time."""
    session = open_session(graph, "the graph")
    names = [each.name for each in session.get_outputs()]
    rows = [run_session(session, names, {PIXELS: each[None]}, "the graph") for each in photos]
    columns = dict(
        zip(names, (np.concatenate(each) for each in zip(*rows, strict=True)), strict=True)
    )
    return Raw(columns[RAW_LOGITS], columns.get(FEATURES))
