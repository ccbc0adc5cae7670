"""The interface between the pipeline and whatever multiplies the matrices."""

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from greengrocer.imaging.geometry import Pixels

Floats = npt.NDArray[np.float32]


class Inference(NamedTuple):
    """What the graph returns for N images, all float32.

    ``probabilities`` [N, classes] and ``coarse`` [N, coarse classes] (None without a hierarchy)
    are calibrated; ``known_score`` [N] runs from 0 to 1, higher is more known; ``evidence``
    [N, h, w, classes] has the calibrated logit, bias included, as its mean over positions. These
    two are None for a model that does not give them, as its manifest says.
    """

    probabilities: Floats
    known_score: Floats | None
    evidence: Floats | None
    coarse: Floats | None = None

    def only(self, place: int) -> "Inference":
        """What it says of one of the N images, with N = 1."""
        one = slice(place, place + 1)
        return Inference(
            self.probabilities[one],
            None if self.known_score is None else self.known_score[one],
            None if self.evidence is None else self.evidence[one],
            None if self.coarse is None else self.coarse[one],
        )


class Threads(NamedTuple):
    """An engine's own threads for one run; the one that calls it counts."""

    each: int = 1  # for images side by side
    alone: int = 1  # for an image that has the machine for itself


ONE_THREAD = Threads()


class Engine(Protocol):
    """Runs one bundle. ``infer`` may be called from several threads at once.

    Up to ``largest_batch`` images at once it gains by more of them; 1: it gains by none. Known
    once it has started.
    """

    largest_batch: int

    def start(self) -> None:
        """Load the network; raises BundleRefused where it does not keep the graph's contract."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3].

        ``alone``: no other image is worked on, so all processors may be used.
        """

    def close(self) -> None:
        """Give back memory and threads."""
