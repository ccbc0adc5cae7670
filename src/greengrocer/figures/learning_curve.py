"""How well held-out images are answered after an epoch: a point of a training's curve."""

from typing import NamedTuple

from greengrocer.figures.intervals import wilson


class Point(NamedTuple):
    """After an epoch: its mean loss, and how many of the held-out images are right."""

    epoch: int
    loss: float
    right: int
    of: int

    def told(self) -> str:
        """Such as "19 of 22 held-out images right (86 %, 95 % interval 67 to 95)"."""
        low, high = wilson(self.right, self.of)
        share = 100 * self.right / self.of
        return (
            f"{self.right} of {self.of} held-out images right ({share:.0f} %, 95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f})"
        )
