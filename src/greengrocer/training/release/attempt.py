"""What was tried to make the graph small and fast, and what it cost."""

from typing import Any, NamedTuple

import onnx
from tqdm import tqdm

from greengrocer.graphs.quantisation_ladder import Shipped
from greengrocer.training.release.quantisation_loss import Comparison


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
