"""Which numbers the shipped graph has: int8, or as much of it as costs little, or float32.

It climbs the ladder of ``graphs.quantisation_ladder``.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.datasets.progress import Progress
from greengrocer.graphs.quantisation_ladder import (
    LADDER,
    SENSITIVITY_IMAGES,
    Rung,
    block_of,
    most_sensitive,
)
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.learning.checkpoint import contents_digest, names_digest
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.attempt import Attempt, Backbone
from greengrocer.training.release.kept_attempts import KeptAttempts
from greengrocer.training.release.measure import cut_views, pool_pixels
from greengrocer.training.release.quantisation_loss import Comparison
from greengrocer.training.release.quantise import quantise


def told(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What ships, and what each of ``attempts`` cost, for the provenance."""
    shipped = attempts[-1].backbone
    return {
        "shipped": shipped.precision,
        "float_blocks": list(shipped.float_blocks),
        "attempts": [attempt.told() for attempt in attempts],
    }


class Ladder:
    """The rungs of one network, by the images that trained it.

    What it finds is kept in the file ``kept``, where that is given: a rerun need not find it again.
    """

    def __init__(
        self,
        in_float: onnx.ModelProto,
        training: Sequence[LabelledImage],
        recipe: Recipe,
        geometry: Geometry,
        kept: Path | None = None,
    ) -> None:
        self.in_float, self.geometry = in_float, geometry
        self._images = training
        order = np.random.default_rng(recipe.seed).permutation(len(training))
        self._training = [training[int(index)].path for index in order]
        self._asked = recipe.export.calibration_images
        self._recipe, self._path = recipe, kept
        self._kept = KeptAttempts()

    def backbone(self, rung: Rung) -> Backbone:
        """The backbone as ``rung`` has it."""
        if rung.precision == "float32":
            return Backbone(self.in_float, "float32", 0)
        count = self._count(rung)
        tqdm.write(f"quantising with {count} training images")
        pictures = self._pictures(count)
        blocks = self._most_sensitive(rung.float_share) if rung.float_share else ()
        kept = [name for name in node_names(self.in_float) if block_of(name) in blocks]
        graph = quantise(self.in_float, pictures, kept)
        return Backbone(graph, rung.precision, count, blocks)

    def is_new(self, rung: Rung) -> bool:
        """Whether there are images enough for ``rung`` to be another than the one below it."""
        return rung.times_images <= 1 or self._count(rung) > self._asked

    def climb(
        self,
        judged: Sequence[LabelledImage],
        judge: Callable[[onnx.ModelProto], Comparison],
        refuse: Callable[[Comparison], bool],
        start: int = 0,
    ) -> tuple[int, list[Attempt]]:
        """Try the rungs from ``start`` upwards; returns the number of the first not refused.

        The last is float32, which is always taken. The attempts tell what each cost to the answers
        for the images ``judged``.
        """
        self._kept = KeptAttempts(self._path, self._key(judged, start))
        attempts: list[Attempt] = []
        for number, rung in enumerate(LADDER[start:], start):
            if not self.is_new(rung):
                continue
            attempt = self._kept.attempts.get(number)
            if attempt is None:
                backbone = self.backbone(rung)
                found = judge(backbone.graph)
                accepted = rung.precision == "float32" or not refuse(found)
                attempt = Attempt(backbone, found, accepted)
                self._kept.add(number, attempt)
            attempt.say()
            attempts.append(attempt)
            if attempt.accepted:
                return number, attempts
        raise AssertionError("the last rung is always taken")

    def _count(self, rung: Rung) -> int:
        return min(len(self._training), rung.times_images * self._asked)

    def _pictures(self, count: int) -> list[Pixels]:
        """The views of so many images."""
        found = (read_fitted(path, self.geometry) for path in self._training[:count])
        return list(cut_views(found, self._recipe.export.seen()))

    def _most_sensitive(self, share: float) -> tuple[str, ...]:
        """The fewest blocks that make ``share`` of the error of all, in their order."""
        if self._kept.errors is None:
            pictures = self._pictures(min(SENSITIVITY_IMAGES, self._asked))
            self._kept.add_errors(block_errors(self.in_float, pictures))
        assert self._kept.errors is not None
        return most_sensitive(self._kept.errors, share)

    def _key(self, judged: Sequence[LabelledImage], start: int) -> str:
        """A digest of all that decides what the rungs cost."""
        found = hashlib.sha256(self.in_float.SerializeToString())
        export = self._recipe.export.model_dump_json(exclude={"judged_sizes"})
        how = (self._recipe.seed, export, LADDER, start)
        images = (names_digest(self._images), contents_digest(self._images))
        answered = (names_digest(judged), contents_digest(judged))
        found.update(repr((how, images, answered)).encode(errors="surrogateescape"))
        return found.hexdigest()


def node_names(backbone: onnx.ModelProto) -> list[str]:
    """The names of the nodes that can be quantised."""
    return [node.name for node in backbone.graph.node if node.op_type != "DequantizeLinear"]


def block_errors(in_float: onnx.ModelProto, pictures: Sequence[Pixels]) -> dict[str, float]:
    """What int8 in one block alone does to the pooled features, as the mean squared change."""
    names = node_names(in_float)
    blocks = list(dict.fromkeys(map(block_of, names)))
    expected = pool_pixels(in_float, pictures)
    errors = {}
    for block in Progress(blocks, "comparing blocks", unit="block"):
        others = [name for name in names if block_of(name) != block]
        found = pool_pixels(quantise(in_float, pictures, others), pictures)
        errors[block] = float(((found - expected) ** 2).mean())
    return errors
