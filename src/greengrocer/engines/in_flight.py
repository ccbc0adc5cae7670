"""The number of images in flight: one that is alone may use all processors."""

import threading
from typing import Self


class InFlightCount:
    """Counts the images that are being classified now, each in a thread of its own."""

    def __init__(self) -> None:
        self.images = 0
        self.lock = threading.Lock()

    def image(self) -> "InFlightImage":
        """One more image, counted while its ``with`` block runs."""
        return InFlightImage(self)


class InFlightImage:
    """One image that is being classified."""

    __slots__ = ("_arrived_alone", "_count")

    def __init__(self, count: InFlightCount) -> None:
        self._count = count
        self._arrived_alone = False

    @property
    def alone(self) -> bool:
        """Whether no other image is in flight, and none was when this one arrived.

        Under load there is for an instant one image, between two of another thread. That it was
        alone both times is then as good as impossible.
        """
        return self._arrived_alone and self._count.images == 1

    def __enter__(self) -> Self:
        with self._count.lock:
            self._count.images += 1
            self._arrived_alone = self._count.images == 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._count.lock:
            self._count.images -= 1
