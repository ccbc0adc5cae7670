"""How long the pipeline's stages took in one run: its observer, for a report."""

from statistics import median


class Stopwatch:
    """Collects seconds; appending to a list is safe from any thread."""

    def __init__(self) -> None:
        self._decoded: list[float] = []
        self._inferred: list[float] = []

    def decoded(self, seconds: float) -> None:
        """An image was decoded and fitted."""
        self._decoded.append(seconds)

    def inferred(self, seconds: float) -> None:
        """The model ran."""
        self._inferred.append(seconds)

    @property
    def decode_milliseconds(self) -> float:
        """The median of decode and fit; NaN before the first image."""
        return 1000 * median(self._decoded or [float("nan")])

    @property
    def infer_milliseconds(self) -> float:
        """The median of inference; NaN before the first image."""
        return 1000 * median(self._inferred or [float("nan")])
