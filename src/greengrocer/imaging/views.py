"""Views: squares about the middle of the model's input, each scaled to the size of the smallest.

A network that looks at the whole frame and at its middle sees objects at two apparent sizes. What
it answers is the mean over its views (multi-crop testing). In a cascade it looks at the first view,
and at the others only where that one leaves it in doubt.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

MOST_VIEWS = 4
SMALLEST_SHARE = 0.25  # of the frame's side
LARGEST_INPUT = 2048  # pixels a side, as a geometry allows
MOST_PLACES = 64  # rows of the evidence's grid

Floats = npt.NDArray[np.float32]


class Views(NamedTuple):
    """``input_side`` is the side of the square input, ``sides`` those of the views, in pixels.

    ``cascade``: where the first view alone gives a class at least this probability, before
    calibration, the network does not look at the others. None: it looks at all of them.
    """

    input_side: int
    sides: tuple[int, ...]
    cascade: float | None = None

    @classmethod
    def of_shares(cls, shares: Sequence[float], size: int, cascade: float | None = None) -> Self:
        """The views that have ``shares`` of the frame's side, the smallest of ``size`` pixels.

        The input is as large as that needs. Raises ValueError for shares that cannot be.
        """
        if not 1 <= len(shares) <= MOST_VIEWS:
            raise ValueError(f"there must be 1 to {MOST_VIEWS} views, not {len(shares)}")
        for share in shares:
            if not SMALLEST_SHARE <= share <= 1:
                raise ValueError(
                    f"a view has {share:g} of the frame's side: it must be {SMALLEST_SHARE} to 1"
                )

        def grown(side: float) -> int:  # whole pixels, as many on either side of the smallest view
            return size + 2 * round((side - size) / 2)

        whole = grown(size / min(shares))
        found = cls(whole, tuple(grown(share * whole) for share in shares), cascade)
        found.check()
        return found

    @classmethod
    def whole(cls, side: int) -> Self:
        """One view of all of an input of ``side`` pixels."""
        return cls(side, (side,))

    def check(self) -> None:
        """Raise ValueError where a bundle could not have these views."""
        if not 1 <= len(self.sides) <= MOST_VIEWS:
            raise ValueError(f"there must be 1 to {MOST_VIEWS} views, not {len(self.sides)}")
        if self.input_side > LARGEST_INPUT:
            raise ValueError(
                f"the views need an input of {self.input_side} pixels a side, and it may have "
                f"{LARGEST_INPUT}"
            )
        self._check_cascade()
        if len(set(self.sides)) < len(self.sides):
            raise ValueError("two views are the same to the pixel")
        for side in self.sides:
            if not self.input_side * SMALLEST_SHARE - 1 <= side <= self.input_side:
                raise ValueError(
                    f"a view of {side} pixels does not suit an input of {self.input_side}"
                )
            if (self.input_side - side) % 2:
                raise ValueError(
                    f"a view of {side} pixels has no middle in an input of {self.input_side}"
                )

    def _check_cascade(self) -> None:
        if self.cascade is None:
            return
        if len(self.sides) < 2:
            raise ValueError("a cascade needs 2 views or more")
        if not 0 < self.cascade < 1:
            raise ValueError(f"a cascade's probability must be between 0 and 1, not {self.cascade}")

    @property
    def size(self) -> int:
        """The side in pixels that every view is scaled to."""
        return min(self.sides)

    @property
    def single(self) -> bool:
        """Whether the network looks once, at all of the input."""
        return self.sides == (self.input_side,)

    def margin(self, side: int) -> int:
        """The pixels of the input on each side of a view of ``side`` pixels."""
        return (self.input_side - side) // 2

    def places(self, rows: int) -> Floats:
        """Where each view's rows of evidence lie on a grid over the whole input: [V, G, rows].

        A view's map M [rows, rows] is laid on the grid as P @ M @ P.T, P being the view's [G, rows]
        of these: what a place has is spread evenly over the pixels that it covers, and the mean
        over the grid is the mean of the map. The grid's cells are about half of a row of the
        smallest view, so that the edges of others fall on them or nearly so.
        """
        finest = 2 * rows * self.input_side / self.size
        cells = rows if self.single else min(MOST_PLACES, round(finest))
        edges = np.linspace(0, self.input_side, cells + 1)[:, None]
        found = []
        for side in self.sides:
            own = self.margin(side) + np.linspace(0, side, rows + 1)
            low, high = np.maximum(edges[:-1], own[:-1]), np.minimum(edges[1:], own[1:])
            overlap = np.maximum(high - low, 0) / (side / rows)
            found.append(overlap * cells / rows)
        return np.stack(found).astype(np.float32)
