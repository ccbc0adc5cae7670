"""Which numbers the shipped graph has: int8, or as much of it as costs little, or float32.

It climbs the ladder of ``graphs.quantisation_ladder``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from tqdm import tqdm

from greengrocer.datasets.dataset import LabelledImage
from greengrocer.graphs.quantisation_ladder import (
    LADDER,
    SENSITIVITY_IMAGES,
    Rung,
    Shipped,
    block_of,
    most_sensitive,
)
from greengrocer.imaging.geometry import Geometry, Pixels
from greengrocer.training.data.reading import read_fitted
from greengrocer.training.recipe import Recipe
from greengrocer.training.release.measure import pool_pixels
from greengrocer.training.release.quantisation_loss import Comparison
from greengrocer.training.release.quantise import quantise

__all__ = [
    "LADDER",
    "Attempt",
    "Backbone",
    "Ladder",
    "Shipped",
    "block_errors",
    "block_of",
    "most_sensitive",
    "node_names",
    "told",
]


class Backbone(NamedTuple):
    """A backbone's graph on one rung, and which of its blocks are float (none: all int8)."""

    graph: onnx.ModelProto
    precision: Shipped
    calibration_images: int
    float_blocks: tuple[str, ...] = ()

    def described(self) -> str:
        """Such as "int8, 400 calibration images"."""
        if self.precision == "float32":
            return "float32"
        told = f"int8, {self.calibration_images} calibration images"
        blocks = ", ".join(self.float_blocks)
        return f"{told}, {blocks} in float" if blocks else told


class Attempt(NamedTuple):
    """A rung that was tried, and what it cost against float32."""

    backbone: Backbone
    found: Comparison
    accepted: bool

    def told(self) -> dict[str, Any]:
        """For the provenance; shares in percent, the gain in points."""
        return {
            "precision": self.backbone.precision,
            "calibration_images": self.backbone.calibration_images,
            "float_blocks": list(self.backbone.float_blocks),
            "accepted": self.accepted,
            "images": self.found.pictures,
            "top1": self.found.int8_top1,
            "agreement": self.found.agreement,
            "gain": self.found.gain,
            "gain_low": self.found.gain_low,
            "gain_high": self.found.gain_high,
        }

    def say(self) -> None:
        """Print what it costs, and what follows."""
        name, found = self.backbone.described(), self.found
        tqdm.write(
            f"{name}: {found.int8_top1:.1f} % top-1, float {found.float_top1:.1f} %: "
            f"{found.gain:+.2f} points, 95 % interval {found.gain_low:.2f} to "
            f"{found.gain_high:.2f}; {found.agreement:.1f} % of the labels agree"
            f"{'' if self.accepted else ': too much'}"
        )


def told(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """What ships, and what each of ``attempts`` cost, for the provenance."""
    shipped = attempts[-1].backbone
    return {
        "shipped": shipped.precision,
        "float_blocks": list(shipped.float_blocks),
        "attempts": [attempt.told() for attempt in attempts],
    }


class Ladder:
    """The rungs of one network, by the images that trained it."""

    def __init__(
        self,
        in_float: onnx.ModelProto,
        training: Sequence[LabelledImage],
        recipe: Recipe,
        geometry: Geometry,
    ) -> None:
        self.in_float, self.geometry = in_float, geometry
        order = np.random.default_rng(recipe.seed).permutation(len(training))
        self._training = [training[int(index)].path for index in order]
        self._asked = recipe.export.calibration_images
        self._sensitivity: dict[str, float] | None = None

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
        judge: Callable[[onnx.ModelProto], Comparison],
        refuse: Callable[[Comparison], bool],
        start: int = 0,
    ) -> tuple[int, list[Attempt]]:
        """Try the rungs from ``start`` upwards; returns the number of the first not refused.

        The last is float32, which is always taken. The attempts tell what each cost.
        """
        attempts: list[Attempt] = []
        for number, rung in enumerate(LADDER[start:], start):
            if not self.is_new(rung):
                continue
            backbone = self.backbone(rung)
            found = judge(backbone.graph)
            last = rung.precision == "float32"
            attempts.append(Attempt(backbone, found, last or not refuse(found)))
            attempts[-1].say()
            if attempts[-1].accepted:
                return number, attempts
        raise AssertionError("the last rung is always taken")

    def _count(self, rung: Rung) -> int:
        return min(len(self._training), rung.times_images * self._asked)

    def _pictures(self, count: int) -> list[Pixels]:
        return [read_fitted(path, self.geometry) for path in self._training[:count]]

    def _most_sensitive(self, share: float) -> tuple[str, ...]:
        """The fewest blocks that make ``share`` of the error of all, in their order."""
        if self._sensitivity is None:
            pictures = self._pictures(min(SENSITIVITY_IMAGES, self._asked))
            self._sensitivity = block_errors(self.in_float, pictures)
        return most_sensitive(self._sensitivity, share)


def node_names(backbone: onnx.ModelProto) -> list[str]:
    """The names of the nodes that can be quantised."""
    return [node.name for node in backbone.graph.node if node.op_type != "DequantizeLinear"]


def block_errors(in_float: onnx.ModelProto, pictures: Sequence[Pixels]) -> dict[str, float]:
    """What int8 in one block alone does to the pooled features, as the mean squared change."""
    names = node_names(in_float)
    blocks = list(dict.fromkeys(map(block_of, names)))
    expected = pool_pixels(in_float, pictures)
    errors = {}
    for block in tqdm(blocks, "comparing blocks", unit="block", mininterval=5):
        others = [name for name in names if block_of(name) != block]
        found = pool_pixels(quantise(in_float, pictures, others), pictures)
        errors[block] = float(((found - expected) ** 2).mean())
    return errors
