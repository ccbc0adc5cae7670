"""The interface of engines, which run a bundle's network for the pipeline."""

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
        """The inference of the image at ``place`` alone, with N = 1."""
        one = slice(place, place + 1)
        return Inference(
            self.probabilities[one],
            None if self.known_score is None else self.known_score[one],
            None if self.evidence is None else self.evidence[one],
            None if self.coarse is None else self.coarse[one],
        )


class Threads(NamedTuple):
    """How many threads an engine uses for one run, the calling thread included."""

    each: int = 1  # for images side by side
    alone: int = 1  # for an image while no other is in flight
    side_by_side: int = 1  # images at once that are worth memory of their own; more may come


ONE_THREAD = Threads()


class Engine(Protocol):
    """Runs one bundle. ``infer`` may be called from several threads at once.

    ``largest_batch``: up to so many images at once are faster than one by one; 1 means that no
    batch is faster. It is valid after ``start``.
    """

    largest_batch: int

    def start(self) -> None:
        """Load the network; raises BundleRefused where it is not what the manifest says."""

    def infer(self, pixels: Pixels, alone: bool = False) -> Inference:
        """Answer for uint8 pixels [N, H, W, 3].

        ``alone``: no other image is in flight, so the engine may use all processors. Raises
        InvalidAnswer where the model fails on an image, or MemoryError.
        """

    def close(self) -> None:
        """Free memory and threads."""
