"""The images that travel with a bundle, and what its graph answers for them."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnx

from greengrocer.bundles.save import GoldenImage
from greengrocer.imaging.geometry import Geometry
from greengrocer.training.release.measure import answer_pictures

GOLDENS = 4


def choose_goldens(
    graph: onnx.ModelProto, candidates: Sequence[Path], geometry: Geometry, classes: Sequence[str]
) -> tuple[GoldenImage, ...]:
    """The widest lead of the first class over the second in each of 4 classes, by ``graph``.

    A wide lead survives the rounding of another processor. Images that are named after their
    class, as the gallery's are, come first if they are named right. ``graph`` is the finished one.
    """
    probabilities = answer_pictures(graph, candidates, geometry).probabilities
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    best = probabilities.argmax(axis=1)
    misnamed = [classes[label] != path.stem for label, path in zip(best, candidates, strict=True)]
    chosen: dict[int, int] = {}
    for index in np.lexsort((second - first, misnamed)):
        chosen.setdefault(int(best[index]), int(index))
    return tuple(
        GoldenImage(candidates[index], classes[label], min(1.0, float(first[index])))
        for label, index in list(chosen.items())[:GOLDENS]
    )


def built_in_pictures(classes: Sequence[str]) -> list[Path]:
    """Those of the built-in gallery's images that show one of ``classes``, by their names."""
    gallery = Path(str(files("greengrocer") / "gallery"))
    return [path for path in sorted(gallery.glob("*.jpg")) if path.stem in classes]
