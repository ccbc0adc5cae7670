"""The shapes of what an engine answers, run by run: those of a graph can depend on the image."""

from greengrocer.bundles.manifest import Manifest
from greengrocer.engines.contract import outputs_of
from greengrocer.engines.engine import Engine, Floats, Inference
from greengrocer.errors import InvalidAnswer
from greengrocer.imaging.geometry import Pixels


class CheckedEngine:
    """A started engine whose answers have the shapes that the manifest promises."""

    def __init__(self, engine: Engine, manifest: Manifest) -> None:
        self.engine = engine
        self.manifest = manifest
        self.largest_batch = engine.largest_batch
        self._outputs = outputs_of(manifest)

    def start(self) -> None:
        """Nothing is to be done: it has started."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """What the engine answers; raises InvalidAnswer where that has another shape."""
        inference = self.engine.infer(pixels, alone)
        for name, sides in self._outputs.items():
            values: Floats | None = getattr(inference, name)
            if values is None or not _fits(values.shape, (len(pixels), *sides)):
                found = "nothing" if values is None else f"the shape {[*values.shape]}"
                raise InvalidAnswer(
                    f"the model answers with {found} as {name}, which its bundle does not say"
                )
        return inference

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        side == want or (side and not want) for side, want in zip(shape, wanted, strict=True)
    )
